"""The log on NATS JetStream: append is one guarded publish, and when it answers, the event is on disk.

The header block is built as bytes and sent on the raw lane, so that an append costs little more than a bare
publish. An answer that got lost is not guessed at: the log is asked whether the event is there.
"""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from chassis.eventlog.api import PATIENCE_SECONDS, Patience, unreachable
from chassis.eventlog.append import Message, conflict, messages, written_before
from chassis.eventlog.codec import Codec
from chassis.eventlog.consumer import JetStreamFeed
from chassis.eventlog.feed import Feed, FeedBroken
from chassis.eventlog.headers import believed, block
from chassis.eventlog.source import JetStreamSource, recognise
from chassis.eventlog.stream import read_at, read_last, refuse_fenced, stream_state
from chassis.eventlog.wire import AnswerLost, Connection, NotConnected
from chassis.process import new_id
from kernel.events import Appended, Cause, Head, Recorded, Stream
from kernel.faults import Exhausted, Fault
from kernel.ports import Guard

CONFLICTS = frozenset({10071, 10164})
REPEATED_ID = 10201
TOO_LARGE = frozenset({10054, 10199})
AGAIN = frozenset({10008, 10158, 10176, 10210})
"""Nothing was written, and the same may be accepted next: no leader, id in flight, batch cut short."""
STORE_FAILED = 10077
NO_ROOM = 10023
"""The server has used up its `max_file_store`; it steps down, and another may have room."""
LOAD_SECONDS = 60.0
_STEPS_BACK = 64


class JetStreamLog:
    """Implements `kernel.ports.EventLog`, and can be followed by a `Follower`."""

    def __init__(
        self,
        connection: Connection,
        codec: Codec,
        source: str,
        *,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._connection = connection
        self._codec = codec
        self._source = source
        self._patience_seconds = patience_seconds

    async def append(
        self,
        stream: Stream,
        events: Sequence[object],
        *,
        after: Head,
        cause: Cause,
        guard: Guard | None = None,
    ) -> Appended:
        made = messages(
            self._codec,
            self._source,
            stream,
            events,
            after=after,
            cause=cause,
            max_payload_bytes=self._connection.max_payload,
        )
        patience = Patience(self._patience_seconds)
        unclear = later = False
        while True:
            if self._connection.recognised != self._connection.doubts:
                await recognise(self._connection, patience)
                later = True
            if later and guard is not None:
                await _allowed(guard, unclear=unclear)
            later = True
            try:
                answer = await self._publish(made, patience.try_seconds())
            except (NotConnected, AnswerLost) as problem:
                unclear = unclear or isinstance(problem, AnswerLost)
                await patience.wait(self._connection, problem)
                continue
            full = None
            if answer is None:
                await refuse_fenced(self._connection, patience.try_seconds() / 4)
            else:
                if "error" not in answer and not answer.get("duplicate"):
                    self._connection.knows(answer["seq"], made[-1].event_id)
                    return Appended(answer["seq"], tuple(each.event_id for each in made))
                settled = await self._settled(stream, made, after, answer, unclear=unclear)
                if settled is not None:
                    return settled
                if answer.get("error", {}).get("err_code") == NO_ROOM:
                    full = _full(answer["error"]["description"])
            await patience.wait(self._connection, full)

    async def load(self, stream: Stream) -> Sequence[Recorded]:
        last = await read_last(self._connection, stream.filter)
        if last is None:
            return []
        patience = Patience(LOAD_SECONDS)
        while True:
            try:
                return await self._load(stream.filter, last.sequence)
            except FeedBroken:
                # A new consumer's first pull can come before its leader listens.
                await patience.wait(self._connection, None)

    async def _load(self, subject_filter: str, last_sequence: int) -> list[Recorded]:
        feed = JetStreamFeed(self._connection, (subject_filter,), 0)
        events: list[Recorded] = []
        try:
            async with asyncio.timeout(LOAD_SECONDS):
                await feed.start()
                while not events or events[-1].sequence < last_sequence:
                    events += [believed(each) for each in (await feed.next()).events]
            return events
        except TimeoutError:
            raise unreachable("too slow") from None
        finally:
            await feed.close()

    async def last_sequence(self) -> int:
        return (await stream_state(self._connection)).last

    async def open(
        self, filters: Sequence[str], after: int, last: Recorded | None, *, gather_seconds: float = 0.0
    ) -> Feed:
        """A feed; implements `chassis.eventlog.feed.Source`."""
        source = JetStreamSource(self._connection)
        return await source.open(filters, after, last, gather_seconds=gather_seconds)

    async def _publish(self, made: Sequence[Message], timeout_seconds: float) -> dict[str, Any] | None:
        """The server's answer; None when nobody was there to answer."""
        ask = self._connection.ask
        if len(made) == 1:
            only = made[0]
            header, payload = await ask(
                only.subject, only.payload, header=block(only.lines), timeout_seconds=timeout_seconds
            )
            return None if header else json.loads(payload)
        batch = new_id()
        for n, each in enumerate(made, start=1):
            lines = f"{each.lines}Nats-Batch-Id: {batch}\r\nNats-Batch-Sequence: {n}\r\n"
            if 1 < n < len(made):
                self._connection.write(each.subject, b"", block(lines), each.payload)
                continue
            if n == len(made):
                lines += "Nats-Batch-Commit: 1\r\n"
            header, payload = await ask(
                each.subject, each.payload, header=block(lines), timeout_seconds=timeout_seconds
            )
            if header or payload:
                return None if header else json.loads(payload)
        return None

    async def _settled(
        self, stream: Stream, made: Sequence[Message], after: Head, answer: dict[str, Any], *, unclear: bool
    ) -> Appended | None:
        """What an answer other than success comes to; None when it has to be tried again.

        Raises:
            Fault: what `append` raises.
        """
        error = answer.get("error", {"err_code": 0})
        by_sequence = error["err_code"] in CONFLICTS
        known_id = not error["err_code"] or error["err_code"] == REPEATED_ID
        fault = None if by_sequence or known_id else refusal(error)
        if not (by_sequence or known_id or (unclear and fault is not None)):
            if fault is not None:
                raise fault
            return None
        # Behind `after` there is nothing of ours, unless the server says that it knows the id.
        found, actual = await self._find(stream, made[-1].event_id, 0 if known_id else after.sequence)
        if found:
            return written_before(made, found)
        if answer.get("duplicate") and answer["seq"]:
            return written_before(made, answer["seq"])
        if fault is not None:
            raise fault
        if actual == after.sequence or (unclear and actual < after.sequence):
            # Nobody has moved past it: what stands in the way is our own earlier try, still on its way to a
            # majority, or a leader that does not know all of it yet.
            return None
        raise conflict(stream, after, actual)

    async def _find(self, stream: Stream, event_id: str, floor: int) -> tuple[int, int]:
        """The sequence of the event with this id (0 when it is not there) and of the aggregate's last event.

        Walks back from the last event to `floor`, for others may have written since our answer was lost.
        """
        found = await read_last(self._connection, stream.filter)
        actual = found.sequence if found is not None else 0
        for _ in range(_STEPS_BACK):
            if found is None or found.sequence <= floor:
                break
            if found.event_id == event_id:
                return found.sequence, actual
            previous = int(found.headers.get("ce-prevseq", found.sequence - 1))
            found = await read_at(self._connection, previous) if previous > floor else None
        return 0, actual


async def _allowed(guard: Guard, *, unclear: bool) -> None:
    """Raises what `guard` raises, unless it is `unclear` whether an earlier try was written: then Unavailable."""
    try:
        while (settled := guard()) is not None:
            await settled
    except Fault as fault:
        raise unreachable("no answer, and now it may not be tried again") if unclear else fault from None


def refusal(error: dict[str, Any]) -> Fault | None:
    """The fault for a publish error that is no conflict; None when the same should be tried again."""
    code, text = error["err_code"], error["description"]
    if code in AGAIN or (error["code"] == 503 and code != STORE_FAILED):
        return None
    if code in TOO_LARGE:
        return Exhausted("MESSAGE_TOO_LARGE", f"the event log refused the size of it: {text}")
    if code == STORE_FAILED and any(word in text for word in ("exceeded", "no space", "insufficient")):
        return _full(text)
    return unreachable(f"error {code}: {text}")


def _full(text: str) -> Exhausted:
    return Exhausted(
        "LOG_FULL",
        f"the event log is full ({text}): nothing is written until there is room; raise PROVOST_LOG_MAX_BYTES, "
        "or NATS' max_file_store and its disk",
    )
