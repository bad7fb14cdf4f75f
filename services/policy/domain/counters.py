"""What has been spent of one budget in one window, and what is set aside. Pure; whole numbers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple
from zlib import crc32

from services.policy.domain.amounts import Amounts, Unit
from services.policy.domain.reservation import BudgetScope

MAX_HOSTS_LIMIT = 4096
"""A limit of different targets is at most this, for a counter remembers no more of them."""
_NO_HOSTS: Mapping[str, int] = MappingProxyType({})


class Key(NamedTuple):
    """Which counter: another length of window is another counter."""

    budget_id: str
    scope: BudgetScope
    scope_id: str
    window_seconds: int


@dataclass(frozen=True, slots=True)
class Counter:
    """One window's count. Of `reserved_hosts` it is known how many reservations name each."""

    window: int = 0
    spent: tuple[int, int, int] = (0, 0, 0)
    reserved: tuple[int, int, int] = (0, 0, 0)
    hosts: frozenset[str] = frozenset()
    reserved_hosts: Mapping[str, int] = field(default_factory=lambda: _NO_HOSTS)

    @property
    def at_rest(self) -> bool:
        """Whether nothing is set aside."""
        return self.reserved == (0, 0, 0) and not self.reserved_hosts

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

    def counter(self) -> Counter:
        hosts = self._reserved_hosts or _NO_HOSTS
        return Counter(
            self.window,
            (self._spent[0], self._spent[1], self._spent[2]),
            (self._reserved[0], self._reserved[1], self._reserved[2]),
            frozenset(self._hosts),
            hosts,
        )

    @staticmethod
    def _add(sums: list[int], amounts: Amounts, sign: int) -> None:
        sums[0] += sign * amounts.actions
        sums[1] += sign * amounts.tokens
        sums[2] += sign * amounts.money_micros


SHELVES = 64
_LOOK_EVERY = 256


class Counters:
    """Counters of a few scopes, on shelves, so that a change copies little. Immutable: `changed` makes another.

    `most` of them are kept, those that were touched last; None: only windows that have ended are forgotten. What
    somebody has set aside is never forgotten. Which ones go follows from what was counted, and is the same everywhere.
    """

    __slots__ = ("_most", "_shelves")

    def __init__(self, most: int | None, shelves: tuple[Mapping[Key, Counter], ...] = ()) -> None:
        self._most = most
        self._shelves = shelves or (_NO_COUNTERS,) * SHELVES

    def __len__(self) -> int:
        return sum(map(len, self._shelves))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Counters) and [list(each.items()) for each in self._shelves] == [
            list(each.items()) for each in other._shelves
        ]

    def __hash__(self) -> int:
        return hash(self.keys())

    def keys(self) -> tuple[Key, ...]:
        return tuple(key for shelf in self._shelves for key in shelf)

    def tally(self, key: Key, window: int) -> Tally:
        """To count in `window`: empty when the counter is of an older one, and in its own when that is newer."""
        known = self.get(key)
        return Tally(Counter(window) if known is None or known.window < window else known)

    def get(self, key: Key) -> Counter | None:
        return self._shelves[_shelf(key)].get(key)

    def changed(self, tallies: Mapping[Key, Tally], now_seconds: int) -> "Counters":
        """With `tallies` in place, and without what is too many."""
        touched: dict[int, dict[Key, Counter]] = {}
        for key, tally in tallies.items():
            number = _shelf(key)
            shelf = touched.get(number)
            if shelf is None:
                shelf = touched[number] = dict(self._shelves[number])
            shelf.pop(key, None)
            shelf[key] = tally.counter()
        for number, shelf in touched.items():
            before = len(self._shelves[number])
            touched[number] = self._thinned(shelf, before, now_seconds) if len(shelf) > before else shelf
        return Counters(self._most, tuple(touched.get(n, shelf) for n, shelf in enumerate(self._shelves)))

    def _thinned(self, shelf: dict[Key, Counter], before: int, now_seconds: int) -> dict[Key, Counter]:
        if self._most is None:
            look = len(shelf) // _LOOK_EVERY > before // _LOOK_EVERY
            return _under_way(shelf, now_seconds) if look else shelf
        most = self._most // SHELVES
        if len(shelf) <= most + most // 8:
            return shelf
        left = _under_way(shelf, now_seconds)
        for key in [key for key, counter in left.items() if counter.at_rest][: max(0, len(left) - most)]:
            del left[key]
        return left


_NO_COUNTERS: Mapping[Key, Counter] = MappingProxyType({})


def _shelf(key: Key) -> int:
    return crc32(key.scope_id.encode()) % SHELVES


def _under_way(shelf: Mapping[Key, Counter], now_seconds: int) -> dict[Key, Counter]:
    """Those whose window has not ended, or in which something is set aside."""
    return {
        key: counter
        for key, counter in shelf.items()
        if not key.window_seconds
        or (counter.window + 1) * key.window_seconds > now_seconds
        or not counter.at_rest
    }
