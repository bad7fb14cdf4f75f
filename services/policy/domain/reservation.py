"""Amounts set aside before they are spent, in every budget they count against."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from services.policy.domain.amounts import Amounts


class BudgetScope(StrEnum):
    """Whose budget it is. What an agent does in a run counts against all four."""

    RUN = "RUN"
    AGENT = "AGENT"
    TASK = "TASK"
    TENANT = "TENANT"


class ReservationEnd(StrEnum):
    """Settled by what was spent, refunded whole, or expired: then nobody said, and all of it counts as spent."""

    SETTLED = "SETTLED"
    REFUNDED = "REFUNDED"
    EXPIRED = "EXPIRED"


@dataclass(frozen=True, slots=True)
class Charge:
    """One counter: a budget, whose, and which of its windows, counted from 1970; 0 without windows."""

    budget_id: str
    scope: BudgetScope
    scope_id: str
    window: int = 0
    window_seconds: int = 0


@dataclass(frozen=True, slots=True)
class Reservation:
    """`decision_id` is empty when it was asked for by itself; `by_agent`: by the agent, and not by a service for it."""

    reservation_id: str
    agent_id: str
    run_id: str
    task_id: str
    amounts: Amounts
    charges: tuple[Charge, ...]
    decision_id: str
    at: datetime
    expire_time: datetime
    by_agent: bool = False
