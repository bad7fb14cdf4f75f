"""Server-sent events (WHATWG HTML, 9.2): a watch of the ledger as lines that a browser reads, ended when the server is.

The id of each event is the cursor that stands before its batch and the event's own sequence: whoever is cut off within
a batch goes on behind the event it has seen, and sees none twice.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Any, TypeVar

from fastapi.responses import StreamingResponse
from prometheus_client import Gauge
from pydantic import TypeAdapter

from kernel.faults import Fault
from services.gateway.domain.callers import Caller
from services.gateway.domain.faults import TooManyWatches
from services.gateway.domain.history import Watched
from services.gateway.domain.records import Event
from services.gateway.web.problems import problem_of

RETRY_MS = 1000
PER_KEY, IN_ALL = 100, 10_000
"""How many streams one key may have open here, and all keys together."""
OPEN = Gauge("provost_http_streams", "Streams that are open: server-sent events and WebSockets.")
Line = TypeVar("Line")
_EVENT: TypeAdapter[Event] = TypeAdapter(Event)


def resumed(last_event_id: str) -> tuple[str, int]:
    """The cursor of a `Last-Event-ID`, and the sequence up to which everything behind it was seen (0: nothing was)."""
    cursor, dot, sequence = last_event_id.partition(".")
    return cursor, int(sequence) if dot and sequence.isascii() and sequence.isdecimal() else 0


class EventStream(StreamingResponse):
    media_type = "text/event-stream"


async def as_lines(
    first: Watched, watched: AsyncGenerator[Watched, None], seen: int
) -> AsyncGenerator[bytes, None]:
    """A watch as server-sent events; what is seen up to the sequence `seen` is left out. A fault is the last event."""
    yield b"retry: %d\nid: %b\n\n" % (RETRY_MS, first.cursor.encode())
    before = first.cursor
    try:
        async with aclosing(watched):
            async for each in watched:
                for event in each.events:
                    if event.sequence > seen:
                        yield _lines(f"{before}.{event.sequence}", event.event_type, _EVENT.dump_json(event))
                # No data: nobody is told, but whoever resumes goes on from here.
                yield b"id: %b\n\n" % each.cursor.encode()
                before = each.cursor
    except Fault as fault:
        yield _lines(
            fault.facts.get("cursor", before), "problem", problem_of(fault).model_dump_json().encode()
        )


class Streams:
    """Every stream that is open, so that all can be ended, and nobody has too many."""

    def __init__(self) -> None:
        self._ended = asyncio.Event()
        self._open: Counter[str] = Counter()
        self.sockets: set[asyncio.Task[Any]] = set()
        """WebSockets: each takes its leave before the server may stop, which would cut it off."""

    @property
    def ended(self) -> bool:
        return self._ended.is_set()

    def end(self) -> None:
        """Each stream ends at its next line; its reader comes back with the id of the last it has seen."""
        self._ended.set()

    def require_room(self, caller: Caller) -> None:
        """Raises:
        TooManyWatches: `caller` has as many open as one key may, or there is no room for anyone's.
        """
        if self._open[_holder(caller)] >= PER_KEY:
            raise TooManyWatches(PER_KEY, "this key has")
        if self._open.total() >= IN_ALL:
            raise TooManyWatches(IN_ALL, "this gateway has")

    async def until_ended(
        self, lines: AsyncGenerator[Line, None], caller: Caller
    ) -> AsyncGenerator[Line, None]:
        """`lines`, until they or all streams end; meanwhile `caller` has one more open."""
        ended = asyncio.ensure_future(self._ended.wait())
        holder = _holder(caller)
        self._open[holder] += 1
        OPEN.inc()
        try:
            async with aclosing(lines):
                while True:
                    line = asyncio.ensure_future(anext(lines))
                    try:
                        await asyncio.wait({line, ended}, return_when=asyncio.FIRST_COMPLETED)
                    finally:
                        if not line.done():
                            line.cancel()
                            with suppress(asyncio.CancelledError):
                                await line
                    if line.cancelled():
                        return
                    if isinstance(line.exception(), StopAsyncIteration):
                        return
                    yield line.result()
        finally:
            ended.cancel()
            OPEN.dec()
            self._open[holder] -= 1
            if not self._open[holder]:
                del self._open[holder]


def _holder(caller: Caller) -> str:
    return f"{caller.tenant}/{caller.actor}"


def _lines(event_id: str, kind: str, data: bytes) -> bytes:
    # Ids and types are our own words; JSON has no line break in it.
    name = "".join(each for each in kind if each.isalnum()) or "message"
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (event_id.encode(), name.encode(), data)
