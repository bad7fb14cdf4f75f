"""Erasures in the event log: held in memory, appended, and followed, so that what was begun is ended by somebody."""

import asyncio
from collections.abc import Sequence

from chassis.eventlog.aggregates import HeldAggregates
from chassis.eventlog.codec import Unreadable
from chassis.eventlog.follower import Follower
from chassis.eventlog.jetstream import JetStreamLog
from chassis.eventlog.subject_keys import ERASURES, NatsSubjectKeys
from chassis.eventlog.wire import Connection
from chassis.telemetry import get_logger
from kernel.events import Recorded
from kernel.faults import Unavailable
from services.ledger.domain.erasure import ERASURE, SubjectErased
from services.ledger.handlers.erasing import Erasing
from services.ledger.wire.erasures import EVENTS

_log = get_logger("ledger.erasures")
_AGAIN_SECONDS = 0.5


class Erasures:
    """`erasing` is the use case; from `start` on each erasure in the log is brought to its end, those of old too.

    Of old too, because a copy of the keys from before an erasure may have been put back.
    """

    def __init__(self, connection: Connection, keys: NatsSubjectKeys) -> None:
        self._keys = keys
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

    async def stop(self) -> None:
        await self._follower.stop()
        await self._keys.stop()

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
