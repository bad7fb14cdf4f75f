"""What has been spent of one budget in one window, and what is set aside. Pure; whole numbers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from services.policy.domain.amounts import Amounts, Unit
from services.policy.domain.reservation import BudgetScope

MAX_HOSTS_LIMIT = 4096
"""A limit of different targets is at most this, for a counter remembers no more of them."""
_NO_HOSTS: Mapping[str, int] = MappingProxyType({})


class Key(NamedTuple):
    """Which counter: another length of window is another counter.

    `agent_id` is whose run it is, and empty for any other scope: a run is one agent's, and nobody spends another's by
    its name.
    """

    budget_id: str
    scope: BudgetScope
    scope_id: str
    window_seconds: int
    agent_id: str = ""

    @classmethod
    def of(
        cls, budget_id: str, scope: BudgetScope, scope_id: str, window_seconds: int, agent_id: str
    ) -> "Key":
        """That of a draw by `agent_id`."""
        whose = agent_id if scope is BudgetScope.RUN else ""
        return cls(budget_id, scope, scope_id, window_seconds, whose)


@dataclass(frozen=True, slots=True)
class Counter:
    """One window's count. Of `reserved_hosts` it is known how many reservations name each; it was last counted in
    at `touched`, in seconds of 1970.
    """

    window: int = 0
    spent: tuple[int, int, int] = (0, 0, 0)
    reserved: tuple[int, int, int] = (0, 0, 0)
    hosts: frozenset[str] = frozenset()
    reserved_hosts: Mapping[str, int] = field(default_factory=lambda: _NO_HOSTS)
    touched: int = 0

    @property
    def at_rest(self) -> bool:
        """Whether nothing is set aside."""
        return self.reserved == (0, 0, 0) and not self.reserved_hosts

    @property
    def empty(self) -> bool:
        """Whether nothing is set aside, and nothing spent either."""
        return self.at_rest and self.spent == (0, 0, 0) and not self.hosts

    def used(self, unit: Unit) -> tuple[int, int]:
        """How much of `unit` is spent, and how much is set aside besides. Errors are counted elsewhere."""
        match unit:
            case Unit.HOSTS:
                return len(self.hosts), len(self.reserved_hosts.keys() - self.hosts)
            case Unit.ERRORS:
                return 0, 0
            case _:
                n = _PLACE[unit]
                return self.spent[n], self.reserved[n]


_PLACE = {Unit.ACTIONS: 0, Unit.TOKENS: 1, Unit.MONEY_MICROS: 2}


class Over(NamedTuple):
    """A limit that something does not fit under any more."""

    unit: Unit
    most: int
    spent: int
    reserved: int
    asked: int


class Tally:
    """A counter while several things are counted in it, one after the other."""

    def __init__(self, counter: Counter) -> None:
        self.window = counter.window
        self._spent = list(counter.spent)
        self._reserved = list(counter.reserved)
        self._hosts = set(counter.hosts)
        self._reserved_hosts = dict(counter.reserved_hosts)

    def over(self, limits: Mapping[Unit, int], amounts: Amounts) -> Over | None:
        """The first limit that `amounts` would go beyond; None when they fit."""
        for unit, most in limits.items():
            asked = amounts.of(unit)
            if not asked or unit is Unit.ERRORS:
                continue
            if unit is Unit.HOSTS:
                spent = len(self._hosts)
                reserved = len(self._reserved_hosts.keys() - self._hosts)
                more = sum(
                    1
                    for host in amounts.hosts
                    if host not in self._hosts and host not in self._reserved_hosts
                )
            else:
                spent, reserved, more = self._spent[_PLACE[unit]], self._reserved[_PLACE[unit]], asked
            if spent + reserved + more > (min(most, MAX_HOSTS_LIMIT) if unit is Unit.HOSTS else most):
                return Over(unit, most, spent, reserved, asked)
        return None

    def reserve(self, amounts: Amounts) -> None:
        self._add(self._reserved, amounts, 1)
        for host in amounts.hosts:
            self._reserved_hosts[host] = self._reserved_hosts.get(host, 0) + 1

    def close(self, reserved: Amounts, charged: Amounts) -> None:
        """Nothing of `reserved` is set aside any more; `charged` of it is spent."""
        self._add(self._reserved, reserved, -1)
        self._add(self._spent, charged, 1)
        for host in reserved.hosts:
            left = self._reserved_hosts.get(host, 0) - 1
            if left > 0:
                self._reserved_hosts[host] = left
            else:
                self._reserved_hosts.pop(host, None)
        for host in charged.hosts:
            if len(self._hosts) >= MAX_HOSTS_LIMIT:
                break  # no limit is higher, so every host that is not known is refused from here on
            self._hosts.add(host)

    def counter(self, touched: int = 0) -> Counter:
        hosts = self._reserved_hosts or _NO_HOSTS
        return Counter(
            self.window,
            (self._spent[0], self._spent[1], self._spent[2]),
            (self._reserved[0], self._reserved[1], self._reserved[2]),
            frozenset(self._hosts),
            hosts,
            touched,
        )

    @staticmethod
    def _add(sums: list[int], amounts: Amounts, sign: int) -> None:
        sums[0] += sign * amounts.actions
        sums[1] += sign * amounts.tokens
        sums[2] += sign * amounts.money_micros
