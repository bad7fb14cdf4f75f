"""How decisions become durable, and what they draw from budgets with them."""

from collections.abc import Sequence
from typing import Protocol

from kernel.events import Cause
from kernel.faults import Fault
from services.policy.domain.budget import Budgets
from services.policy.domain.budget_events import Drawn, Want
from services.policy.domain.closing import Close, Closing
from services.policy.domain.decision import DecisionRecord
from services.policy.domain.drawing import BudgetRefusal, Draw
from services.policy.domain.limits import BudgetSet
from services.policy.domain.reservation import Reservation


class Record(Protocol):
    """Makes decisions durable, those that arrive together in one event."""

    async def commit(self, decisions: Sequence[DecisionRecord], cause: Cause) -> int:
        """Returns the sequence of the event they are in, once it is on disk.

        All or none. Safe to repeat: a decision's id says that it is the same one. Those of several callers may share an
        event, those of one call always do.

        Raises:
            Unavailable, Exhausted: it may or may not have been written; nobody may act on it.
        """
        ...


class Budgeting(Protocol):
    """Draws on the budgets of a tenant, each all or nothing, and never beyond a limit, whoever else does meanwhile.

    Safe to repeat: a reservation's id says that it is the same one. What is answered is on disk, and known here.

    Raises:
        Unavailable: it may or may not have been written; nobody may act on it.
        Exhausted: the log is full, or too many reservations wait to be settled.
    """

    def current(self, tenant: str) -> Budgets:
        """As far as is known here."""
        ...

    def tenants(self) -> frozenset[str]:
        """Those who have drawn on a budget, or set one."""
        ...

    async def decide(self, wants: Sequence[Want], cause: Cause) -> tuple[Sequence[Drawn], int]:
        """The decisions with what is set aside for them, in one event; and its sequence."""
        ...

    async def reserve(self, draw: Draw, cause: Cause) -> tuple[Reservation | BudgetRefusal | None, int]:
        """Set aside without a decision; None when no budget counts any of it."""
        ...

    async def close(self, closes: Sequence[Close], cause: Cause) -> tuple[Sequence[Closing | Fault], int]:
        """How each ended, or why it did not."""
        ...

    async def set(self, wanted: BudgetSet, cause: Cause) -> int:
        """Set limits by hand."""
        ...
