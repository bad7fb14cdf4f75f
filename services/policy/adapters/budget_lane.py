"""Budgets drawn on by many at once: those who arrive together share one event, guarded by the budgets' last sequence.

What is decided and what is set aside for it are one `DecisionsMade` on the aggregate `budget`/`all` of the tenant. Who
else writes there, on another replica, is noticed by the conflict: then the follower brings what was written, and the
budgets are asked anew, at most five times.

Before time here goes forward by more than a few minutes the log is asked what time it is, for it would not come back: a
replica whose clock is not the log's counts nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from functools import partial

from chassis.eventlog.aggregates import HeldAggregates
from chassis.process import jitter, monotonic
from kernel.events import Cause
from kernel.faults import AppendConflict, Fault, Unavailable
from kernel.ports import Following
from services.policy.adapters.group_commit import size_of
from services.policy.adapters.grouping import (
    Answer,
    Asked,
    Grouping,
    Waiting,
    common_cause,
    fail,
    require_fits,
)
from services.policy.domain.budget import SKEW, Budgets, Command, Event, set_by_hand
from services.policy.domain.budget_events import Answers, Drawn, Want, closed, decided, is_no, reserved
from services.policy.domain.budget_faults import ClockWrong
from services.policy.domain.closing import Close, Closing
from services.policy.domain.drawing import BudgetRefusal, Draw
from services.policy.domain.limits import BudgetSet
from services.policy.domain.reservation import Reservation
from services.policy.domain.reserving import Outcome

ALL = "all"
RIVAL_SECONDS = 0.2
CONCEDE_SECONDS = 0.002
"""How long a replica that has just written waits before it writes again, while another one writes too."""
_RESERVATION_BYTES, _CLOSING_BYTES = 500, 200

HeldBudgets = HeldAggregates[Command, Budgets, Event]
LogTime = Callable[[], Awaitable[datetime]]
"""What time it is where the log is kept. Raises Unavailable."""
_Answered = tuple[Sequence[Answer], int]
"""An answer to each that was asked, and the sequence of the event."""
_Decide = Callable[[Sequence[Sequence[Asked]], Budgets], tuple[Event | None, Answers[Answer]]]


class BudgetLane:
    """Implements `Budgeting`."""

    def __init__(
        self,
        held: HeldBudgets,
        following: Following,
        log_time: LogTime,
        monotonic: Callable[[], float] = monotonic,
    ) -> None:
        self._held = held
        held.following = following
        self._log_time = log_time
        self._monotonic = monotonic
        self._tenants: dict[str, _Tenant] = {}

    def current(self, tenant: str) -> Budgets:
        return self._held.current(tenant, ALL)

    def tenants(self) -> frozenset[str]:
        return self._held.tenants()

    async def decide(self, wants: Sequence[Want], cause: Cause) -> tuple[Sequence[Drawn], int]:
        size_bytes = sum(size_of(want.record) + _draw_size(want.draw) for want in wants)
        require_fits(size_bytes)
        return await self._of(cause.tenant).decisions.add(wants, cause, size_bytes)

    async def reserve(self, draw: Draw, cause: Cause) -> tuple[Reservation | BudgetRefusal | None, int]:
        (outcome,), sequence = await self._of(cause.tenant).reservations.add((draw,), cause, _draw_size(draw))
        return outcome, sequence

    async def close(self, closes: Sequence[Close], cause: Cause) -> tuple[Sequence[Closing | Fault], int]:
        live = self.current(cause.tenant).live
        held = [live.get(each.reservation_id) for each in closes]
        size_bytes = sum(_CLOSING_BYTES + (_hosts_size(each.amounts.hosts) if each else 0) for each in held)
        return await self._of(cause.tenant).closings.add(closes, cause, size_bytes)

    async def set(self, wanted: BudgetSet, cause: Cause) -> int:
        if abs(wanted.at - self.current(cause.tenant).latest) > SKEW:
            await _require_right(wanted.at, self._log_time, either_way=True)  # this may bring time back
        appended = await self._held.handle(ALL, partial(_set, wanted), cause)
        return appended.sequence

    async def stop(self) -> None:
        """Wait until whatever was handed over is written or has failed."""
        await asyncio.gather(*(tenant.idle() for tenant in self._tenants.values()))

    def _of(self, tenant: str) -> "_Tenant":
        known = self._tenants.get(tenant)
        if known is None:
            known = self._tenants[tenant] = _Tenant(tenant, self._held, self._log_time, self._monotonic)
        return known


class _Tenant:
    """What waits of one tenant, by what becomes one event."""

    def __init__(
        self, tenant: str, held: HeldBudgets, log_time: LogTime, monotonic: Callable[[], float]
    ) -> None:
        self._tenant = tenant
        self._held = held
        self._log_time = log_time
        self._right: datetime | None = None
        self._monotonic = monotonic
        self._written = 0
        self._last = self._rival = -1e9
        name = f"budgets of {tenant}"
        self.decisions: Grouping[Want, _Answered[Drawn]] = Grouping(name, self._writer(decided))
        self.reservations: Grouping[Draw, _Answered[Outcome]] = Grouping(name, self._writer(reserved))
        self.closings: Grouping[Close, _Answered[Closing | Fault]] = Grouping(name, self._writer(closed))

    async def idle(self) -> None:
        await asyncio.gather(self.decisions.idle(), self.reservations.idle(), self.closings.idle())

    def _writer(
        self, decide: _Decide[Asked, Answer]
    ) -> Callable[[Sequence[Waiting[Asked, _Answered[Answer]]]], Awaitable[None]]:
        return lambda group: self._write(group, decide)

    async def _write(
        self, group: Sequence[Waiting[Asked, _Answered[Answer]]], decide: _Decide[Asked, Answer]
    ) -> None:
        asked = [each.asked for each in group]
        answers: Answers[Answer] = ()
        tries = 0

        def command(budgets: Budgets) -> Event | None:
            nonlocal answers, tries
            tries += 1
            event, answers = decide(asked, budgets)
            return event

        try:
            await self._require_right(max(each.cause.at for each in group))
            await self._concede()
            known = self._held.head(self._tenant, ALL).sequence
            appended = await self._held.handle(ALL, command, common_cause(self._tenant, group))
            if not appended.event_ids and any(map(is_no, answers)):
                # What is written proves that nothing newer was there. A no that is not written has to be looked after.
                await self._held.catch_up()
                if self._held.head(self._tenant, ALL).sequence > appended.sequence:
                    appended = await self._held.handle(ALL, command, common_cause(self._tenant, group))
        except Exception as error:  # noqa: BLE001 - whatever it was, none of them may count on being written
            self._rival = self._monotonic()
            fail(group, _crowded() if isinstance(error, AppendConflict) else error)
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

    async def _require_right(self, at: datetime) -> None:
        latest = self._held.current(self._tenant, ALL).latest
        if at > max(latest, self._right or latest) + SKEW:
            await _require_right(at, self._log_time)
            self._right = at

    async def _concede(self) -> None:
        """Let another replica have its turn: it has to read what was written here before it can write."""
        at = self._monotonic()
        left = self._last + CONCEDE_SECONDS - at
        if left > 0 and at - self._rival < RIVAL_SECONDS:
            await asyncio.sleep(left + jitter(CONCEDE_SECONDS))


async def _require_right(at: datetime, log_time: LogTime, *, either_way: bool = False) -> None:
    """Raises ClockWrong: `at`, by the clock here, is not what the log says."""
    ahead = at - await log_time()
    if ahead > SKEW or (either_way and ahead < -SKEW):
        raise ClockWrong(ahead.total_seconds())


def _set(wanted: BudgetSet, budgets: Budgets) -> Event | None:
    return set_by_hand(budgets, wanted)


def _crowded() -> Unavailable:
    text = "others draw on the same budgets too fast for this replica, and nothing was set aside: try again"
    return Unavailable("APPEND_CONFLICT", text)


def _draw_size(draw: Draw | None) -> int:
    return 0 if draw is None else _RESERVATION_BYTES + 100 * len(draw.rules) + _hosts_size(draw.amounts.hosts)


def _hosts_size(hosts: Sequence[str]) -> int:
    return sum(3 * len(host) + 3 for host in hosts)
