"""Limits as people set them: how much of what may be spent, by whom, and how often anew."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from services.policy.domain.amounts import MAX_AMOUNT, Unit
from services.policy.domain.budget_faults import AmountInvalid
from services.policy.domain.counters import MAX_HOSTS_LIMIT
from services.policy.domain.reservation import BudgetScope

MAX_WINDOW_SECONDS = 366 * 86_400
_HIGHEST = {Unit.HOSTS: MAX_HOSTS_LIMIT}


@dataclass(frozen=True, slots=True)
class Limit:
    """How much of one thing may be spent."""

    unit: Unit
    most: int


@dataclass(frozen=True, slots=True)
class BudgetSet:
    """A budget set by hand; without limits it is taken back. `scope_id` is empty for the tenant's."""

    scope: BudgetScope
    scope_id: str
    limits: tuple[Limit, ...]
    window_seconds: int
    by: str
    why: str
    at: datetime


def limits_of(limits: tuple[Limit, ...]) -> Mapping[Unit, int]:
    return {limit.unit: limit.most for limit in limits}


def checked_limits(limits: tuple[Limit, ...], window_seconds: int) -> tuple[Limit, ...]:
    """`limits`, each unit once, in the order of the units.

    Raises:
        AmountInvalid: negative, too large, or twice; or there is no such window.
    """
    if not 0 <= window_seconds <= MAX_WINDOW_SECONDS:
        raise AmountInvalid("window_seconds", f"must be 0 to {MAX_WINDOW_SECONDS}, not {window_seconds}")
    if len({limit.unit for limit in limits}) < len(limits):
        raise AmountInvalid("limits", "must have each unit once")
    for limit in limits:
        highest = _HIGHEST.get(limit.unit, MAX_AMOUNT)
        if not 0 <= limit.most <= highest:
            raise AmountInvalid(f"limits.{limit.unit}", f"must be 0 to {highest}, not {limit.most}")
    return tuple(sorted(limits, key=lambda limit: list(Unit).index(limit.unit)))
