"""A feed over JetStream: an ephemeral pull consumer whose every sequence is checked.

Two pulls are outstanding, so that one is filled while the other is delivered, and at most two batches are in
memory. A consumer that is lost (server restart, leader change) costs a new one, never an event.
"""

import asyncio
import json
from collections.abc import Sequence

from nats.aio.subscription import Subscription

from chassis.eventlog.feed import Batch, Feed, FeedBroken, LogDiverged
from chassis.eventlog.headers import Headers
from chassis.eventlog.stream import EVENTS, SUBJECTS, call, read_at, stream_state, unreachable
from chassis.eventlog.subjects import widest
from chassis.eventlog.wire import Connection, NotConnected
from chassis.process import new_id
from kernel.events import Recorded

BATCH = 500
HEARTBEAT_SECONDS = 0.4
SILENCE_SECONDS = 2.5
EXPIRES_SECONDS = 30.0
INACTIVE_SECONDS = 60
_LOOKS, _LOOK_AGAIN_SECONDS = 6, 0.5
_NS = 10**9


async def end_of_log(connection: Connection, after: int, last: Recorded | None) -> int:
    """Where the log ends, once it is sure that it still holds what was read up to `after` and what follows.

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
            return state.last
    raise problem  # type: ignore[misc]  # the loop runs at least once


class JetStreamFeed:
    def __init__(self, connection: Connection, filters: Sequence[str], after: int) -> None:
        self._connection = connection
        self._filters = widest(filters)
        self._whole = self._filters == [SUBJECTS]
        self._name = new_id()
        self._next_subject = f"$JS.API.CONSUMER.MSG.NEXT.{EVENTS}.{self._name}"
        self._inbox = connection.new_inbox().encode() + b"."
        self._subscription: Subscription | None = None
        self._events: list[Recorded] = []
        self._read = after
        self._upto = after
        self._consumed = 0
        self._lag = 0
        self._outstanding = 0
        self._pulls = 0
        self._news = False
        self._broken: Exception | None = None
        self._waiting: asyncio.Future[None] | None = None

    async def start(self, end: int) -> None:
        """Make the consumer and begin to pull; `end` is where the log ended a moment ago.

        Raises:
            Unavailable: no answer.
        """
        config = {
            "name": self._name,
            "ack_policy": "none",
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": self._read + 1,
            "filter_subjects": self._filters,
            "mem_storage": True,
            "num_replicas": 1,
            "inactive_threshold": INACTIVE_SECONDS * _NS,
        }
        self._connection.on_lost.add(self._lost)
        self._subscription = await self._connection.listen((self._inbox + b"*").decode(), self._take)
        body = {"stream_name": EVENTS, "config": config, "action": "create"}
        answer = await call(self._connection, f"CONSUMER.CREATE.{EVENTS}.{self._name}", body)
        if "error" in answer:
            raise unreachable(answer["error"]["description"])
        self._lag = answer["num_pending"]
        if self._lag == 0:
            self._reach(end)
        self._pull()
        self._pull()

    async def next(self) -> Batch:
        while True:
            while self._outstanding + len(self._events) <= BATCH and self._broken is None:
                self._pull()
            if self._events:
                events, self._events = self._events[:BATCH], self._events[BATCH:]
                upto = events[-1].sequence if self._events else max(events[-1].sequence, self._upto)
                self._news = bool(self._events)
                return Batch(events, upto, self._lag + len(self._events))
            if self._broken is not None:
                raise self._broken
            if self._news:
                self._news = False
                return Batch([], self._upto, self._lag)
            self._waiting = asyncio.get_running_loop().create_future()
            try:
                async with asyncio.timeout(SILENCE_SECONDS):
                    await self._waiting
            except TimeoutError:
                raise FeedBroken("silence") from None
            finally:
                self._waiting = None

    async def probe(self) -> None:
        last = (await stream_state(self._connection)).last
        info = await call(self._connection, f"CONSUMER.INFO.{EVENTS}.{self._name}")
        if "error" in info:
            self._break("consumer is gone")
        elif info["num_pending"] == 0 and info["delivered"]["consumer_seq"] == self._consumed:
            # All that matched when `last` was read has been sent, and all that was sent has come.
            self._lag = 0
            self._reach(last)

    async def close(self) -> None:
        self._connection.on_lost.discard(self._lost)
        if self._subscription is not None:
            await self._connection.unlisten(self._subscription)
        try:
            self._connection.write(f"$JS.API.CONSUMER.DELETE.{EVENTS}.{self._name}", b"", b"", b"")
        except NotConnected:
            return  # the server forgets it by itself, INACTIVE_SECONDS later

    def _pull(self) -> None:
        self._pulls += 1
        request = {
            "batch": BATCH,
            "expires": int(EXPIRES_SECONDS * _NS),
            "idle_heartbeat": int(HEARTBEAT_SECONDS * _NS),
            "max_bytes": max(8 * 1024**2, 2 * self._connection.max_payload),
        }
        reply = self._inbox + b"%d" % self._pulls
        try:
            self._connection.write(self._next_subject, reply, b"", json.dumps(request).encode())
        except NotConnected:
            self._break("not connected")
        else:
            self._outstanding += BATCH

    def _take(self, subject: bytes, reply: bytes, payload: bytes, header: bytes | None) -> None:
        if self._broken is not None:
            return
        # $JS.ACK.<stream>.<consumer>.<tries>.<stream seq>.<consumer seq>.<time>.<pending>, or two tokens more
        # (domain, account) behind ACK, and then perhaps one at the end.
        tokens = reply.split(b".")
        if len(tokens) < 9:
            self._status(header or b"")
            return
        at = 5 if len(tokens) == 9 else 7
        sequence, consumed = int(tokens[at]), int(tokens[at + 1])
        if consumed != self._consumed + 1:
            self._break(f"events before {sequence} were lost on the way")
            return
        if self._whole and self._read and sequence != self._read + 1:
            self._hole(sequence)
            return
        self._consumed = consumed
        self._read = self._upto = sequence
        self._lag = int(tokens[at + 3])
        self._outstanding -= 1
        self._events.append(Recorded(sequence, subject.decode(), Headers(header or b""), payload))
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def _status(self, header: bytes) -> None:
        """A message about the consumer: a heartbeat, the end of a pull, or the end of everything."""
        code = header[9:12]
        fields = Headers(header)
        if code == b"100":
            if int(fields.get("Nats-Last-Consumer", "0")) != self._consumed:
                self._break("events were lost on the way")
            else:
                self._lag = 0
                self._reach(int(fields.get("Nats-Last-Stream", "0")))
        elif code == b"408" or (code == b"409" and (b"MaxBytes" in header or b"Batch Completed" in header)):
            self._outstanding -= int(fields.get("Nats-Pending-Messages", "0"))
            self._wake()
        else:
            self._break(header[9:].partition(b"\r\n")[0].decode("ascii", "replace"))

    def _reach(self, sequence: int) -> None:
        self._upto = max(self._upto, sequence)
        self._wake()

    def _lost(self) -> None:
        self._break("disconnected")

    def _hole(self, sequence: int) -> None:
        """The server went past events: once may be a mistake of this consumer, a fresh one proves it."""
        if self._consumed:
            self._break(f"no event between {self._read} and {sequence}")
        else:
            text = f"events {self._read + 1} to {sequence - 1} are no longer in the log"
            self._broken = LogDiverged("GAP", text)
            self._wake()

    def _break(self, why: str) -> None:
        if self._broken is None:
            self._broken = FeedBroken(why)
        self._wake()

    def _wake(self) -> None:
        self._news = True
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


class JetStreamSource:
    """The stream behind a connection, as something to follow."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def open(self, filters: Sequence[str], after: int, last: Recorded | None) -> Feed:
        end = await end_of_log(self._connection, after, last)
        feed = JetStreamFeed(self._connection, filters, after)
        try:
            await feed.start(end)
        except BaseException:
            await feed.close()
            raise
        return feed
