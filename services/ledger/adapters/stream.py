"""The event log as the ledger reads it, over JetStream: every message as it was published."""

import asyncio
from collections.abc import AsyncGenerator, Sequence

from chassis.eventlog.feed import FeedBroken, LogDiverged
from chassis.eventlog.headers import raw_headers
from chassis.eventlog.source import JetStreamSource
from chassis.eventlog.stream import SUBJECTS, read_at, stream_state
from chassis.eventlog.wire import Connection, NotConnected
from kernel.events import Recorded
from services.ledger.domain.entry import Message
from services.ledger.domain.faults import StreamRegression
from services.ledger.domain.records import LogState

_PAUSE_SECONDS = 0.1


def message_of(recorded: Recorded) -> Message:
    """An event as the ledger takes it."""
    return Message(recorded.sequence, recorded.subject, raw_headers(recorded), recorded.payload)


class JetStreamEvents:
    """Implements `ports.EventStream`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._source = JetStreamSource(connection)

    async def state(self) -> LogState:
        state = await stream_state(self._connection)
        return LogState(state.first, state.last)

    async def message(self, sequence: int) -> Message | None:
        recorded = await read_at(self._connection, sequence)
        return None if recorded is None else message_of(recorded)

    async def read(self, after: int, upto: int) -> AsyncGenerator[Sequence[Message], None]:
        last: Recorded | None = None
        while after < upto:
            await self._require(after)
            try:
                feed = await self._source.open([SUBJECTS], after, last)
            except LogDiverged as problem:
                raise StreamRegression(str(problem), after + 1) from None
            try:
                while after < upto:
                    events = (await feed.next()).events
                    if not events:
                        await self._require(after)
                        continue
                    last = events[-1]
                    after = last.sequence
                    yield [message_of(each) for each in events if each.sequence <= upto]
            except LogDiverged as problem:
                raise StreamRegression(str(problem), after + 1) from None
            except (FeedBroken, NotConnected):
                await asyncio.sleep(_PAUSE_SECONDS)
            finally:
                await feed.close()

    async def _require(self, after: int) -> None:
        """What follows `after` must be there or still to come: of a log that was emptied no feed says anything."""
        first = (await self.state()).first
        if first > after + 1:
            raise StreamRegression(
                f"the event log begins at {first}: the first event missing is {after + 1}", after + 1
            )
