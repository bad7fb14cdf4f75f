"""What something costs, by unit. Whole numbers only: money is counted in millionths."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from kernel.events import told_apart
from services.policy.domain.budget_faults import AmountInvalid
from services.policy.domain.pattern import first_match

MAX_AMOUNT = 10**15
"""Of any unit, in a limit or asked for at once: what is added up stays far within 64 bits."""
MAX_HOSTS, MAX_HOSTS_CHARACTERS = 1000, 65_536


class Unit(StrEnum):
    """What a budget counts."""

    ACTIONS = "ACTIONS"
    TOKENS = "TOKENS"
    MONEY_MICROS = "MONEY_MICROS"
    ERRORS = "ERRORS"
    HOSTS = "HOSTS"


@dataclass(frozen=True, slots=True)
class Amounts:
    """0 is nothing; `hosts` are the different targets touched."""

    actions: int = 0
    tokens: int = 0
    money_micros: int = 0
    errors: int = 0
    hosts: tuple[str, ...] = ()

    def of(self, unit: Unit) -> int:
        """How much of `unit` this is."""
        match unit:
            case Unit.ACTIONS:
                return self.actions
            case Unit.TOKENS:
                return self.tokens
            case Unit.MONEY_MICROS:
                return self.money_micros
            case Unit.ERRORS:
                return self.errors
            case Unit.HOSTS:
                return len(self.hosts)


NOTHING = Amounts()


def checked(amounts: Amounts, field: str) -> Amounts:
    """`amounts`, each host once.

    Raises:
        AmountInvalid: one is negative or too large, or errors are among them: those are counted, never set aside.
    """
    for name in ("actions", "tokens", "money_micros"):
        value = getattr(amounts, name)
        if not 0 <= value <= MAX_AMOUNT:
            raise AmountInvalid(f"{field}.{name}", f"must be 0 to {MAX_AMOUNT}, not {value}")
    if amounts.errors:
        raise AmountInvalid(f"{field}.errors", "must be 0: errors are counted as state records them")
    if len(amounts.hosts) > MAX_HOSTS or sum(map(len, amounts.hosts)) > MAX_HOSTS_CHARACTERS:
        most = f"must be at most {MAX_HOSTS}, of {MAX_HOSTS_CHARACTERS} characters together: ask in parts"
        raise AmountInvalid(f"{field}.hosts", most)
    if not all(amounts.hosts):
        raise AmountInvalid(f"{field}.hosts", "must not have an empty name among them")
    return replace(amounts, hosts=tuple(dict.fromkeys(amounts.hosts)))


def shape_of(amounts: Amounts) -> str:
    """The same for the same amounts and for no others."""
    counts = f"{amounts.actions},{amounts.tokens},{amounts.money_micros},{amounts.errors}"
    return f"{counts},{told_apart(*amounts.hosts)}"


def cost_of(name: str, target: str, asked: Amounts, prices: Mapping[str, Amounts]) -> Amounts:
    """What one action may cost at most: itself, its target, and the higher of what is asked for and the set's price."""
    pattern = first_match(tuple(prices), name) if prices else None
    price = NOTHING if pattern is None else prices[pattern]
    hosts = (*((target,) if target else ()), *asked.hosts)
    return Amounts(
        max(1, asked.actions, price.actions),
        max(asked.tokens, price.tokens),
        max(asked.money_micros, price.money_micros),
        0,
        tuple(dict.fromkeys(hosts)),
    )
