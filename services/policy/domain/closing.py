"""How reservations end: settled by what was spent, given back whole, or charged whole because nobody said."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType

from kernel.faults import Fault
from services.policy.domain.amounts import NOTHING, Amounts
from services.policy.domain.budget_faults import (
    AmountInvalid,
    NotTheAgentsToSettle,
    ReservationClosed,
    ReservationUnknown,
)
from services.policy.domain.reservation import Reservation, ReservationEnd

_SHELVES, _ON_A_SHELF = 32, 2048


@dataclass(frozen=True, slots=True)
class Close:
    """`spent` is None when all counts: it was `whole`, or nobody can say. `agent_id`: only if it is that agent's.

    `by_agent`: an agent says so, who is not believed of what a decision, or a service, has set aside.
    """

    reservation_id: str
    spent: Amounts | None
    by: str
    at: datetime
    agent_id: str = ""
    whole: bool = False
    by_agent: bool = False


@dataclass(frozen=True, slots=True)
class Closing:
    """One reservation's end, and what counts as spent."""

    reservation_id: str
    end: ReservationEnd
    charged: Amounts
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class ReservationsClosed:
    """Those that came together."""

    closings: tuple[Closing, ...]


@dataclass(frozen=True, slots=True)
class Closed:
    """What is remembered of one that has ended."""

    reservation: Reservation
    closing: Closing


@dataclass(frozen=True, slots=True)
class ClosedOnes:
    """The last 65,536 that have ended, so that whoever asks again is told the same. Immutable."""

    shelves: tuple[Mapping[str, Closed], ...] = ()

    def get(self, reservation_id: str) -> Closed | None:
        for shelf in self.shelves:
            found = shelf.get(reservation_id)
            if found is not None:
                return found
        return None

    def with_some(self, more: Mapping[str, Closed]) -> "ClosedOnes":
        if not more:
            return self
        newest = self.shelves[0] if self.shelves else MappingProxyType({})
        if len(newest) >= _ON_A_SHELF:
            return ClosedOnes((dict(more), *self.shelves[: _SHELVES - 1]))
        return ClosedOnes(({**newest, **more}, *self.shelves[1:]))


def closing_of(live: Reservation | None, closed: Closed | None, wanted: Close) -> Closing | Fault:
    """How `wanted` ends, as it has ended already if that is the same, or why it cannot."""
    reservation = live or (closed.reservation if closed is not None else None)
    if reservation is None or wanted.agent_id not in ("", reservation.agent_id):
        return ReservationUnknown(wanted.reservation_id)
    if wanted.by_agent and not reservation.by_agent:
        return NotTheAgentsToSettle(wanted.reservation_id)
    try:
        end, charged = _charged(reservation.amounts, wanted)
    except AmountInvalid as fault:
        return fault
    if live is not None or closed is None:
        return Closing(wanted.reservation_id, end, charged, wanted.by, wanted.at)
    if closed.closing.charged == charged:
        return closed.closing
    return ReservationClosed(wanted.reservation_id, closed.closing.end)


def _charged(reserved: Amounts, wanted: Close) -> tuple[ReservationEnd, Amounts]:
    """How it ends, and what counts as spent. Whoever names no hosts has touched all of them, unless nothing was spent.

    Raises:
        AmountInvalid: more than was set aside.
    """
    spent = wanted.spent
    if spent is None:
        return (ReservationEnd.SETTLED if wanted.whole else ReservationEnd.EXPIRED), reserved
    if spent == NOTHING:
        return ReservationEnd.REFUNDED, NOTHING
    for name in ("actions", "tokens", "money_micros"):
        most = getattr(reserved, name)
        if not 0 <= getattr(spent, name) <= most:
            raise AmountInvalid(f"spent.{name}", f"must be 0 to {most}, which is what was reserved")
    if reserved.hosts and not set(spent.hosts) <= set(reserved.hosts):
        raise AmountInvalid("spent.hosts", "must be among those that were reserved")
    hosts = tuple(spent.hosts) if reserved.hosts and spent.hosts else reserved.hosts
    return ReservationEnd.SETTLED, replace(spent, errors=0, hosts=hosts)
