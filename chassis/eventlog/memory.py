"""The log in memory, for tests: obligations, headers and bytes of the real one, and faults on demand."""

import asyncio
from collections.abc import Sequence

from chassis.eventlog.append import conflict, messages, written_before
from chassis.eventlog.codec import Codec
from chassis.eventlog.feed import Batch, FeedBroken, LogDiverged
from chassis.eventlog.headers import Headers, block
from chassis.eventlog.subjects import matching
from chassis.process import monotonic
from kernel.events import Appended, Cause, Head, Recorded, Stream
from kernel.faults import Exhausted, Unavailable
from kernel.ports import Guard

_BATCH = 500
_HEARTBEAT_SECONDS = 0.4
_MAX_PAYLOAD_BYTES = 1024**2


class _Kept:
    """What all views of one log share."""

    def __init__(self) -> None:
        self.events: list[Recorded] = []
        self.ids: dict[str, int] = {}
        self.by_filter: dict[str, list[int]] = {}
        self.full = False
        self.news = asyncio.Event()
        self.generation = 0
        self.faults: list[str] = []

    def wake(self) -> None:
        news, self.news = self.news, asyncio.Event()
        news.set()


class MemoryLog:
    """Implements `kernel.ports.EventLog`, and can be followed by a `Follower`."""

    def __init__(self, codec: Codec, source: str = "provost/test") -> None:
        self._codec = codec
        self._source = source
        self._kept = _Kept()

    def for_service(self, codec: Codec, source: str) -> "MemoryLog":
        """The same log, written by another service."""
        other = MemoryLog(codec, source)
        other._kept = self._kept
        return other

    async def append(
        self,
        stream: Stream,
        events: Sequence[object],
        *,
        after: Head,
        cause: Cause,
        guard: Guard | None = None,
    ) -> Appended:
        limit = _MAX_PAYLOAD_BYTES
        made = messages(
            self._codec, self._source, stream, events, after=after, cause=cause, max_payload_bytes=limit
        )
        await asyncio.sleep(0)
        kept = self._kept
        fault = kept.faults.pop(0) if kept.faults else ""
        if fault == "unreachable":
            raise Unavailable("LOG_UNREACHABLE", "the event log does not answer; try again")
        if fault == "conflict":
            raise conflict(stream, after, None)
        before = kept.ids.get(made[-1].event_id)
        if before is not None:
            return written_before(made, before)
        own = kept.by_filter.setdefault(stream.filter, [])
        actual = own[-1] if own else 0
        if actual != after.sequence:
            for sequence in reversed(own):
                if sequence > after.sequence and kept.events[sequence - 1].event_id == made[-1].event_id:
                    return written_before(made, sequence)
            raise conflict(stream, after, actual)
        if kept.full:
            raise Exhausted("LOG_FULL", "the event log is full: nothing is written until there is room")
        for each in made:
            self._keep(Recorded(len(kept.events) + 1, each.subject, Headers(block(each.lines)), each.payload))
            kept.ids[each.event_id] = own[-1]
        kept.wake()
        await asyncio.sleep(0)
        if fault == "lost":
            raise Unavailable("LOG_UNREACHABLE", "no answer came; it may have been written; try again")
        return Appended(own[-1], tuple(each.event_id for each in made))

    def _keep(self, recorded: Recorded) -> None:
        self._kept.events.append(recorded)
        subject_filter = recorded.subject.rpartition(".")[0] + ".*"
        self._kept.by_filter.setdefault(subject_filter, []).append(recorded.sequence)

    async def load(self, stream: Stream) -> Sequence[Recorded]:
        return [self._kept.events[sequence - 1] for sequence in self._kept.by_filter.get(stream.filter, ())]

    async def last_sequence(self) -> int:
        return len(self._kept.events)

    def recorded(self) -> list[Recorded]:
        """Everything there is, oldest first."""
        return list(self._kept.events)

    async def open(
        self, filters: Sequence[str], after: int, last: Recorded | None, *, gather_seconds: float = 0.0
    ) -> "MemoryFeed":
        """A feed; implements `chassis.eventlog.feed.Source`. It costs nothing to read, so it holds nothing back."""
        events = self._kept.events
        if len(events) < after or (last is not None and events[last.sequence - 1] != last):
            raise LogDiverged("STREAM_REGRESSION", f"the log is no longer what was read up to {after}")
        return MemoryFeed(self._kept, filters, after)

    def put(self, subject: str, payload: bytes, headers: bytes = b"") -> int:
        """Write a message as some other program would, unguarded; its sequence."""
        self._keep(Recorded(len(self._kept.events) + 1, subject, Headers(headers), payload))
        self._kept.wake()
        return len(self._kept.events)

    def lose_next_answer(self) -> None:
        """The next append is written, and its caller is told that no answer came."""
        self._kept.faults.append("lost")

    def conflict_next(self) -> None:
        """The next append is refused as if somebody else had been quicker."""
        self._kept.faults.append("conflict")

    def fail_next(self) -> None:
        """The next append is not written: the log does not answer."""
        self._kept.faults.append("unreachable")

    def fill(self) -> None:
        """From now on there is no room for another event."""
        self._kept.full = True

    def forget_ids(self) -> None:
        """The duplicate window has passed: repeated ids are recognised by the aggregate's events alone."""
        self._kept.ids.clear()

    def break_feeds(self) -> None:
        """Every follower loses its feed and must open another."""
        self._kept.generation += 1
        self._kept.wake()

    def truncate(self, sequence: int) -> None:
        """The log goes back to where it ended at `sequence`, as if restored from an older copy."""
        del self._kept.events[sequence:]
        for own in self._kept.by_filter.values():
            own[:] = [each for each in own if each <= sequence]
        self._kept.ids = {key: each for key, each in self._kept.ids.items() if each <= sequence}
        self.break_feeds()


class MemoryFeed:
    """Reads the kept events as they are added."""

    def __init__(self, kept: _Kept, filters: Sequence[str], after: int) -> None:
        self._kept = kept
        self._matches = matching(filters)
        self._position = after
        self._generation = kept.generation
        self._told = False

    async def next(self) -> Batch:
        current = self._generation == self._kept.generation
        if current and self._told and self._position == len(self._kept.events):
            try:
                async with asyncio.timeout(_HEARTBEAT_SECONDS):
                    await self._kept.news.wait()
            except TimeoutError:
                return Batch([], self._position, 0, monotonic())
        if self._generation != self._kept.generation:
            raise FeedBroken("broken on demand")
        self._told = True
        found: list[Recorded] = []
        while self._position < len(self._kept.events) and len(found) < _BATCH:
            recorded = self._kept.events[self._position]
            self._position = recorded.sequence
            if self._matches(recorded.subject):
                found.append(recorded)
        lag = len(self._kept.events) - self._position
        return Batch(found, self._position, lag, monotonic() if lag == 0 else None)

    async def probe(self) -> None:
        """Nothing to ask: `next` always knows."""

    def hurry(self) -> None:
        """Nothing is held back."""

    async def close(self) -> None:
        """Nothing is held."""
