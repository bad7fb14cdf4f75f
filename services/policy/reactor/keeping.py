"""What goes on beside the calls, until cancelled: health, tiers, and what is over."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from datetime import datetime
from typing import Any

from chassis.eventlog.follower import Follower
from chassis.process import jitter
from chassis.telemetry import get_logger
from kernel.events import Recorded
from kernel.faults import Conflict, Fault, Unavailable
from services.policy.handlers.endings import Endings
from services.policy.reactor.records import AgentKey, HeldRecords

RETRY_SECONDS = 1.0
EXPIRE_SECONDS = 5.0
_LOWERED = frozenset({"AgentDemoted", "AgentSuspended"})
Take = Callable[[Sequence[Recorded]], Awaitable[None]]
_log = get_logger("policy.reactor")


async def keep(until: Callable[[], Awaitable[object]], *kept: Coroutine[Any, Any, None]) -> None:
    """All of these, until it is time to stop. What fails in one of them ends all, and the process with it."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(each) for each in kept]
        await until()
        for task in tasks:
            task.cancel()


async def keep_health(
    follower: Follower,
    set_serving: Callable[[bool], Awaitable[None]],
    opa_answers: Callable[[], Awaitable[bool]],
) -> None:
    """Serving as long as the newest revocations are known here, and the OPA server, if there is one, answers.

    Looks once a second, until cancelled. A decision is refused much sooner; this is for whoever chooses a replica.
    """
    while True:
        await set_serving(await opa_answers() and follower.well)
        await asyncio.sleep(1.0)


async def keep_trust(records: HeldRecords, settle: Callable[[str, str], Awaitable[None]]) -> None:
    """Looks at everybody whose record has changed, until cancelled; what may be otherwise soon is looked at again."""
    while True:
        again: list[AgentKey] = []
        for key in await records.changed():
            await asyncio.sleep(0)  # there may be very many, as when a set is published: calls go first
            try:
                await settle(*key)
            except Fault as fault:
                _log.warning("tier not moved", agent_id=key[1], reason=fault.reason, problem=fault.text)
                # Bytes that cannot be read, its own or its parent's, are no better in a moment.
                if isinstance(fault, Unavailable | Conflict) and fault.reason != "UNREADABLE_EVENT":
                    again.append(key)
        if again:
            await asyncio.sleep(RETRY_SECONDS)
            for key in again:
                records.touch(*key)


async def keep_ended(endings: Endings, also: Callable[[Take], None]) -> None:
    """What the revoked still have elsewhere, and what is too much of those who may less than before, is taken away as
    soon as it can be; until cancelled."""

    async def take(events: Sequence[Recorded]) -> None:
        for recorded in events:
            stream = recorded.stream
            if recorded.event_type in _LOWERED and (stream.context, stream.aggregate) == ("policy", "agent"):
                endings.owe(stream.tenant, stream.id)

    also(take)
    endings.remember()
    while True:
        if left := await endings.settle():
            _log.warning("not ended yet", agents=left)
        await asyncio.sleep(RETRY_SECONDS)


async def keep_expired(expire: Callable[[datetime], Awaitable[int]], now: Callable[[], datetime]) -> None:
    """Close what nobody has settled in time, every few seconds, until cancelled; any replica may."""
    while True:
        await asyncio.sleep(EXPIRE_SECONDS / 2 + jitter(EXPIRE_SECONDS))
        try:
            await expire(now())
        except Fault as problem:
            _log.warning("reservations not closed", problem=problem.text)
