"""The JetStream stream as something to follow: sure, before each reading, that it is still the same log."""

import asyncio
from collections.abc import Sequence

from chassis.eventlog.api import Patience, unreachable
from chassis.eventlog.consumer import JetStreamFeed
from chassis.eventlog.feed import Feed, LogDiverged
from chassis.eventlog.stream import StreamState, read_at, refuse_fenced, stream_state
from chassis.eventlog.wire import Connection
from kernel.events import Recorded
from kernel.faults import Unavailable

_LOOKS, _LOOK_AGAIN_SECONDS = 6, 0.5
_RECOGNISE_SECONDS = 3.0
"""How long an event that was known may be missing before calls are refused: shorter than their deadlines."""


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


async def recognise(connection: Connection, patience: Patience) -> None:
    """Before anything is appended behind a connection that was lost: it must still be the same log.

    A server that came back with an older copy would else take new events where lost ones were.

    Raises:
        Unavailable: it no longer holds the newest event this process knows of (`STREAM_REGRESSION`), or no answer.
    """
    quick = Patience(min(_RECOGNISE_SECONDS, patience.left_seconds()))
    while connection.recognised != connection.doubts:
        doubts = connection.doubts
        problem = await _other(connection, patience.left_seconds())
        if not problem:
            connection.recognised = doubts
            continue
        await refuse_fenced(connection)
        try:
            if connection.missed == doubts:
                raise unreachable(problem)  # it was waited for before
            await quick.wait(connection, None)  # a new leader may know less for a moment
        except Unavailable:
            connection.missed = doubts
            raise Unavailable("STREAM_REGRESSION", f"nothing is written: {problem}") from None


async def _other(connection: Connection, patience_seconds: float) -> str:
    newest = connection.newest
    if newest is None:
        return ""
    state = await stream_state(connection, patience_seconds=patience_seconds)
    if state.last < newest.sequence:
        return f"the event log ends at {state.last}, it once held {newest.sequence}"
    kept = await read_at(connection, newest.sequence)
    wanted = newest.event if isinstance(newest.event, str) else newest.event.event_id
    if kept is None or kept.event_id != wanted:
        return f"event {newest.sequence} of the log is not the one it was"
    return ""
