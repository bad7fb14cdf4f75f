"""Budgets drawn on by many at once: those who arrive together share one event, guarded by the budgets' last sequence.

What is decided and what is set aside for it are one `DecisionsMade` on the aggregate `budget`/`all` of the tenant. Who
else writes there, on another replica, is noticed by the conflict: then the follower brings what was written, and the
budgets are asked anew, at most five times.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, TypeVar

from chassis.eventlog.aggregates import HeldAggregates
from chassis.process import jitter, monotonic, new_id, now
from chassis.telemetry import get_logger
from kernel.events import Cause
from kernel.faults import AppendConflict, Exhausted, Fault, Unavailable
from kernel.ports import Following
from services.policy.adapters.group_commit import ACTOR, not_durable, require_fits, size_of
from services.policy.adapters.grouping import Grouping
from services.policy.domain.budget import (
    BudgetReserved,
    Budgets,
    Command,
    Event,
    close,
    ended_among,
    set_by_hand,
)
from services.policy.domain.closing import Close, Closing, ReservationsClosed
from services.policy.domain.decision import DecisionsMade
from services.policy.domain.drawing import BudgetRefusal, Draw
from services.policy.domain.faults import TooManyReservations
from services.policy.domain.limits import BudgetSet
from services.policy.domain.reservation import Reservation
from services.policy.domain.reserving import Outcome, new_among, reserve
from services.policy.ports import Drawn, Want

ALL = "all"
RIVAL_SECONDS = 0.2
CONCEDE_SECONDS = 0.002
"""How long a replica that has just written waits before it writes again, while another one writes too."""
_RESERVATION_BYTES, _CLOSING_BYTES = 500, 200

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")
Held = HeldAggregates[Command, Budgets, Event]

_log = get_logger("policy.budgets")


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[Asked, Answer]):
    """What one caller asks; all of it is answered by one event."""

    asked: Sequence[Asked]
    cause: Cause
    size_bytes: int
    answered: "asyncio.Future[tuple[Sequence[Answer], int]]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


_Wanted = _Waiting[Want, Drawn]
_Reserving = _Waiting[Draw, Outcome]
_Closing = _Waiting[Close, Closing | Fault]


class BudgetLane:
    """Implements `Budgeting`."""

    def __init__(self, held: Held, following: Following, monotonic: Callable[[], float] = monotonic) -> None:
        self._held = held
        held.following = following
        self._monotonic = monotonic
        self._tenants: dict[str, _Tenant] = {}

    def current(self, tenant: str) -> Budgets:
        return self._held.current(tenant, ALL)

    def tenants(self) -> frozenset[str]:
        return self._held.tenants()

    async def decide(self, wants: Sequence[Want], cause: Cause) -> tuple[Sequence[Drawn], int]:
        size_bytes = sum(size_of(want.record) + _draw_size(want.draw) for want in wants)
        require_fits(size_bytes)
        waiting: _Wanted = _Waiting(wants, cause, size_bytes)
        self._of(cause.tenant).decisions.add(waiting)
        return await waiting.answered

    async def reserve(self, draw: Draw, cause: Cause) -> tuple[Reservation | BudgetRefusal | None, int]:
        waiting: _Reserving = _Waiting((draw,), cause, _draw_size(draw))
        self._of(cause.tenant).reservations.add(waiting)
        (outcome,), sequence = await waiting.answered
        return outcome, sequence

    async def close(self, closes: Sequence[Close], cause: Cause) -> tuple[Sequence[Closing | Fault], int]:
        size_bytes = sum(
            _CLOSING_BYTES + _hosts_size(each.spent.hosts if each.spent else ()) for each in closes
        )
        waiting: _Closing = _Waiting(closes, cause, size_bytes)
        self._of(cause.tenant).closings.add(waiting)
        return await waiting.answered

    async def set(self, wanted: BudgetSet, cause: Cause) -> int:
        appended = await self._held.handle(ALL, partial(_set, wanted), cause)
        return appended.sequence

    async def stop(self) -> None:
        """Wait until whatever was handed over is written or has failed."""
        await asyncio.gather(*(tenant.idle() for tenant in self._tenants.values()))

    def _of(self, tenant: str) -> "_Tenant":
        known = self._tenants.get(tenant)
        if known is None:
            known = self._tenants[tenant] = _Tenant(tenant, self._held, self._monotonic)
        return known


class _Tenant:
    """What waits of one tenant, by what becomes one event."""

    def __init__(self, tenant: str, held: Held, monotonic: Callable[[], float]) -> None:
        self._tenant = tenant
        self._held = held
        self._monotonic = monotonic
        self._written = 0
        self._last = self._rival = -1e9
        name = f"budgets of {tenant}"
        self.decisions: Grouping[_Wanted] = Grouping(name, self._writer(_decided), monotonic)
        self.reservations: Grouping[_Reserving] = Grouping(name, self._writer(_reserved), monotonic)
        self.closings: Grouping[_Closing] = Grouping(name, self._writer(_closed), monotonic)

    async def idle(self) -> None:
        await asyncio.gather(self.decisions.idle(), self.reservations.idle(), self.closings.idle())

    def _writer(
        self,
        decide: "Callable[[Sequence[_Waiting[Asked, Answer]], Budgets], tuple[Event | None, Answers[Answer]]]",
    ) -> Callable[[Sequence[_Waiting[Asked, Answer]]], Awaitable[None]]:
        return lambda group: self._write(group, decide)

    async def _write(
        self,
        group: Sequence[_Waiting[Asked, Answer]],
        decide: "Callable[[Sequence[_Waiting[Asked, Answer]], Budgets], tuple[Event | None, Answers[Answer]]]",
    ) -> None:
        answers: Answers[Answer] = ()
        tries = 0

        def command(budgets: Budgets) -> Event | None:
            nonlocal answers, tries
            tries += 1
            event, answers = decide(group, budgets)
            return event

        try:
            await self._concede()
            known = self._held.head(self._tenant, ALL).sequence
            appended = await self._held.handle(ALL, command, self._cause(group))
        except Exception as error:  # noqa: BLE001 - whatever it was, none of them may count on being written
            self._rival = self._monotonic()
            _fail(group, error)
            return
        if tries > 1 or known > self._written:
            self._rival = self._monotonic()
        if appended.event_ids:
            self._written, self._last = appended.sequence, self._monotonic()
        for each, answer in zip(group, answers, strict=True):
            if each.answered.done():
                continue
            if isinstance(answer, Fault):
                each.answered.set_exception(answer)
            else:
                each.answered.set_result((answer, appended.sequence))

    async def _concede(self) -> None:
        """Let another replica have its turn: it has to read what was written here before it can write."""
        at = self._monotonic()
        left = self._last + CONCEDE_SECONDS - at
        if left > 0 and at - self._rival < RIVAL_SECONDS:
            await asyncio.sleep(left + jitter(CONCEDE_SECONDS))

    def _cause(self, group: Sequence[_Waiting[Asked, Answer]]) -> Cause:
        """Of one caller what led to it; of several, what they have in common. Never a caller's request id: an event
        that was written for others too is not the answer to it."""
        runs = {each.cause.correlation_id for each in group}
        one = group[0].cause
        causation, traceparent = (one.causation_id, one.traceparent) if len(group) == 1 else ("", "")
        correlation = runs.pop() if len(runs) == 1 else ""
        return Cause(self._tenant, new_id(), ACTOR, now(), correlation, causation, traceparent)


Answers = Sequence[Sequence[Answer] | Fault]


def _decided(group: Sequence[_Wanted], budgets: Budgets) -> tuple[Event | None, Answers[Drawn]]:
    outcomes = reserve(budgets, [[want.draw for want in each.asked] for each in group])
    answers: list[Sequence[Drawn] | Fault] = []
    written = {}
    new = {each.reservation_id: each for each in new_among(budgets, _flat(outcomes))}
    for each, of_each in zip(group, outcomes, strict=True):
        if isinstance(of_each, TooManyReservations):
            answers.append(of_each)
            continue
        drawn = [_drawn(want, outcome) for want, outcome in zip(each.asked, of_each, strict=True)]
        for one in drawn:
            # What was set aside before is on record with the decision it was set aside for.
            if one.reservation is None or one.reservation.reservation_id in new:
                written[one.record.decision_id] = one.record
        answers.append(drawn)
    event = DecisionsMade(tuple(written.values()), tuple(new.values())) if written else None
    return event, answers


def _drawn(want: Want, outcome: Outcome) -> Drawn:
    if isinstance(outcome, BudgetRefusal):
        return Drawn(want.refused(outcome), None, outcome)
    return Drawn(want.record, outcome, None)


def _reserved(group: Sequence[_Reserving], budgets: Budgets) -> tuple[Event | None, Answers[Outcome]]:
    outcomes = reserve(budgets, [each.asked for each in group])
    new = new_among(budgets, _flat(outcomes))
    return (BudgetReserved(new) if new else None), outcomes


def _flat(outcomes: Sequence[tuple[Outcome, ...] | TooManyReservations]) -> list[Outcome]:
    return [one for each in outcomes if isinstance(each, tuple) for one in each]


def _closed(group: Sequence[_Closing], budgets: Budgets) -> tuple[Event | None, Answers[Closing | Fault]]:
    outcomes = close(budgets, [one for each in group for one in each.asked])
    ended = ended_among(budgets, outcomes)
    rest = iter(outcomes)
    answers = [[next(rest) for _ in each.asked] for each in group]
    return (ReservationsClosed(ended) if ended else None), answers


def _set(wanted: BudgetSet, budgets: Budgets) -> Event | None:
    return set_by_hand(budgets, wanted)


def _fail(group: Sequence[_Waiting[Asked, Answer]], error: Exception) -> None:
    if not isinstance(error, Fault):
        _log.error("budgets not written", exc_info=error)
    fault: Fault = not_durable()
    if isinstance(error, AppendConflict):
        text = (
            "others draw on the same budgets too fast for this replica, and nothing was set aside: try again"
        )
        fault = Unavailable("APPEND_CONFLICT", text)
    elif isinstance(error, Unavailable | Exhausted):
        fault = error
    for each in group:
        if not each.answered.done():
            each.answered.set_exception(fault)
            each.answered.exception()  # its caller may have gone; then nobody asks


def _draw_size(draw: Draw | None) -> int:
    return 0 if draw is None else _RESERVATION_BYTES + 100 * len(draw.rules) + _hosts_size(draw.amounts.hosts)


def _hosts_size(hosts: Sequence[str]) -> int:
    return sum(3 * len(host) + 3 for host in hosts)
