"""The JetStream stream as something to follow: sure, before each reading, that it is still the same log."""

import asyncio
from collections.abc import Sequence

from chassis.eventlog.consumer import JetStreamFeed
from chassis.eventlog.feed import Feed, LogDiverged
from chassis.eventlog.stream import StreamState, read_at, stream_state
from chassis.eventlog.wire import Connection
from kernel.events import Recorded

_LOOKS, _LOOK_AGAIN_SECONDS = 6, 0.5


class JetStreamSource:
    """The stream behind a connection, as something to follow."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def open(
        self, filters: Sequence[str], after: int, last: Recorded | None, *, gather_seconds: float = 0.0
    ) -> Feed:
        state = await check_continues(self._connection, after, last)
        feed = JetStreamFeed(
            self._connection,
            filters,
            after,
            replicated=state.replicas > 1,
            gather_seconds=gather_seconds,
        )
        try:
            await feed.start()
        except BaseException:
            await feed.close()
            raise
        return feed


async def check_continues(connection: Connection, after: int, last: Recorded | None) -> StreamState:
    """Where the log stands, once it is sure that it still holds what was read up to `after`, and what follows.

    Raises:
        LogDiverged: it does not. (A new leader may know less for a moment: looked at several times.)
        Unavailable: no answer.
    """
    for look in range(_LOOKS):
        if look:
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)
        state = await stream_state(connection)
        problem = None
        if state.last < after:
            problem = LogDiverged(
                "STREAM_REGRESSION", f"the log ends at {state.last}; events up to {after} were read from it"
            )
        elif after and state.first > after + 1:
            problem = LogDiverged("GAP", f"events {after + 1} to {state.first - 1} are no longer in the log")
        elif last is not None:
            kept = await read_at(connection, last.sequence)
            if kept is None:
                problem = LogDiverged("GAP", f"event {last.sequence} is no longer in the log")
            elif kept != last:
                text = f"event {last.sequence} is another one than was read before"
                problem = LogDiverged("STREAM_REGRESSION", text)
        if problem is None:
            return state
    raise problem  # type: ignore[misc]  # the loop runs at least once
