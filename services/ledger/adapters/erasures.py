"""Erasures in the event log: held in memory, appended, and followed, so that what was begun is ended by somebody."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from chassis.eventlog.aggregates import HeldAggregates
from chassis.eventlog.codec import Unreadable
from chassis.eventlog.follower import Follower
from chassis.eventlog.jetstream import JetStreamLog
from chassis.eventlog.subject_keys import ERASURES, NatsSubjectKeys
from chassis.eventlog.wire import Connection
from chassis.process import now
from chassis.telemetry import get_logger
from kernel.events import Recorded
from kernel.faults import Fault, Unavailable
from services.ledger.domain.erasure import ERASURE, SubjectErased
from services.ledger.handlers.erasing import Erasing
from services.ledger.wire.erasures import EVENTS

_log = get_logger("ledger.erasures")
_AGAIN_SECONDS, _EXPIRE_SECONDS = 0.5, 3600.0


class Erasures:
    """`erasing` is the use case; from `start` on each erasure in the log is brought to its end, those of old too.

    Of old too, because a copy of the keys from before an erasure may have been put back.
    """

    def __init__(self, connection: Connection, keys: NatsSubjectKeys, keep_days: float = 0.0) -> None:
        self._keys = keys
        self._keep_days = keep_days
        self._expiring: asyncio.Task[None] | None = None
        self._held = HeldAggregates(
            ERASURE, JetStreamLog(connection, EVENTS, source="provost/ledger"), EVENTS
        )
        self.erasing = Erasing(keys, self._held)
        self._follower = Follower(connection, (ERASURES,), 0, self._take, "ledger erasing")

    async def start(self) -> None:
        """Raises what `NatsSubjectKeys.start` raises."""
        await self._keys.start()
        await self._follower.start()
        await self._follower.caught_up()
        if self._keep_days:
            self._expiring = asyncio.create_task(self._expire_for_ever(), name="expiring")

    async def stop(self) -> None:
        if self._expiring is not None:
            self._expiring.cancel()
        await self._follower.stop()
        await self._keys.stop()

    async def expire(self) -> int:
        """Erase every run of no named subject that is older than it is to be kept; how many there were.

        Raises:
            Fault: the log or the keys cannot be reached.
        """
        at, count = now(), 0
        async for tenant, subject_id, key_id in self._keys.of_runs_before(
            at - timedelta(days=self._keep_days)
        ):
            await self.erasing.expire(tenant, subject_id, key_id, self._keep_days, at)
            count += 1
        return count

    async def _expire_for_ever(self) -> None:
        while True:
            try:
                count = await self.expire()
                if count:
                    _log.info("runs were erased: their time is over", runs=count, days=self._keep_days)
            except Fault as problem:
                _log.warning("runs whose time is over are still to be erased", why=problem.text)
            await asyncio.sleep(min(_EXPIRE_SECONDS, self._keep_days * 8640))

    async def _take(self, events: Sequence[Recorded]) -> None:
        await self._held.take(events)
        for recorded in events:
            try:
                event = EVENTS.decode(recorded)
            except Unreadable as problem:
                _log.error("erasure cannot be read", why=problem.text)
                continue
            assert isinstance(event, SubjectErased)
            await self._insist(recorded.stream.tenant, event)

    async def _insist(self, tenant: str, event: SubjectErased) -> None:
        while True:
            try:
                return await self.erasing.finish(tenant, event)
            except Unavailable as problem:
                _log.warning("a key is still to be deleted", key_id=event.key_id, why=problem.text)
                await asyncio.sleep(_AGAIN_SECONDS)
