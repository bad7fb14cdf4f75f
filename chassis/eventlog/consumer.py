"""A feed over JetStream: an ephemeral pull consumer whose every sequence is checked.

Two pulls are outstanding, so that one is filled while the other is delivered, and at most two batches are in
memory. A consumer that is lost (server restart, leader change) costs a new one, never an event.

With `gather_seconds` it pulls in bursts: what is there now, and then what has come together meanwhile. The first event
after a silence comes at once; under load, server and reader wake up once a burst and not once an event.
"""

import asyncio
import json
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

from nats.aio.subscription import Subscription

from chassis.eventlog.api import call, unreachable
from chassis.eventlog.feed import Batch, FeedBroken, LogDiverged
from chassis.eventlog.headers import Headers
from chassis.eventlog.stream import EVENTS, SUBJECTS, stream_state
from chassis.eventlog.subjects import matching, spelled, together, widest
from chassis.eventlog.wire import Connection, NotConnected
from chassis.process import monotonic, new_id
from kernel.events import Recorded
from kernel.faults import Unavailable

BATCH = 500
HEARTBEAT_SECONDS = 0.4
SILENCE_SECONDS = 2.5
EXPIRES_SECONDS = 30.0
INACTIVE_SECONDS = 60
_KICK_SECONDS = 0.2
_NS = 10**9


class JetStreamFeed:
    def __init__(
        self,
        connection: Connection,
        filters: Sequence[str],
        after: int,
        *,
        replicated: bool = False,
        gather_seconds: float = 0.0,
    ) -> None:
        self._connection = connection
        wanted = widest(filters)
        # The server is slow at several filters (1.4 ms an event were seen, against 0.03 for one): it is given one that
        # covers them all, and the rest is passed over here.
        self._filter = together(wanted)
        self._wants = matching(wanted) if len(wanted) > 1 else None
        self._whole = self._filter == SUBJECTS
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
        self._gather_seconds = gather_seconds
        self._gathering: asyncio.TimerHandle | None = None
        self._request = self._pull_request(BATCH, EXPIRES_SECONDS, no_wait=gather_seconds > 0)
        self._burst = b""
        self._burst_left = 0
        self._news = False
        self._broken: Exception | None = None
        self._waiting: asyncio.Future[None] | None = None
        self._replicated = replicated
        self._watching: asyncio.Task[None] | None = None
        self._ends: deque[tuple[float, int]] = deque(maxlen=64)

    async def start(self) -> None:
        """Make the consumer and begin to pull.

        Raises:
            Unavailable: no answer.
        """
        config = {
            "name": self._name,
            "ack_policy": "none",
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": self._read + 1,
            "filter_subject": self._filter,
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
            self._wake()
        self._more()
        if self._replicated:
            self._watching = asyncio.create_task(self._watch())

    async def next(self) -> Batch:
        while True:
            self._more()
            if self._events:
                events, self._events = self._events[:BATCH], self._events[BATCH:]
                self._more()
                upto = events[-1].sequence if self._events else max(events[-1].sequence, self._upto)
                self._news = bool(self._events)
                return self._batch(events, upto)
            if self._broken is not None:
                raise self._broken
            if self._news:
                self._news = False
                return self._batch([], self._upto)
            self._waiting = asyncio.get_running_loop().create_future()
            try:
                async with asyncio.timeout(SILENCE_SECONDS):
                    await self._waiting
            except TimeoutError:
                raise FeedBroken("silence") from None
            finally:
                self._waiting = None

    def _batch(self, events: list[Recorded], upto: int) -> Batch:
        if events:
            self._connection.knows(events[-1].sequence, events[-1])
        lag = self._lag + len(self._events)
        if not self._replicated:
            return Batch(events, upto, lag, monotonic() if lag == 0 else None)
        at_end = None
        while self._ends and self._ends[0][1] <= upto:
            at_end, _ = self._ends.popleft()
        return Batch(events, upto, lag, at_end)

    async def _watch(self) -> None:
        """In a cluster the consumer may read from a replica that is cut off and believes itself at the end: only the
        stream's leader knows where that is."""
        while True:
            asked = monotonic()
            with suppress(Unavailable):  # nothing is confirmed then, so `stale_seconds` grows
                end = (await stream_state(self._connection, patience_seconds=HEARTBEAT_SECONDS)).last
                self._ends.append((asked, end))
                await self.probe()
            await asyncio.sleep(HEARTBEAT_SECONDS)

    async def probe(self) -> None:
        # Another pull makes the consumer look past what does not match. How far the log goes is asked of the consumer
        # and not of the stream's leader: in a cluster it may read from a replica that does not know all of it yet.
        self._pull(1, self._pull_request(1, _KICK_SECONDS))
        info = await call(self._connection, f"CONSUMER.INFO.{EVENTS}.{self._name}")
        if "error" in info:
            self._break("consumer is gone")
        elif info["delivered"]["consumer_seq"] == self._consumed:
            # All that was sent has come.
            self._lag = info["num_pending"]
            self._reach(info["delivered"]["stream_seq"])

    def hurry(self) -> None:
        if self._gathering is not None:
            self._gathering.cancel()
            self._gathered()

    async def close(self) -> None:
        if self._gathering is not None:
            self._gathering.cancel()
        if self._watching is not None:
            self._watching.cancel()
        self._connection.on_lost.discard(self._lost)
        if self._subscription is not None:
            await self._connection.unlisten(self._subscription)
        try:
            self._connection.write(f"$JS.API.CONSUMER.DELETE.{EVENTS}.{self._name}", b"", b"", b"")
        except NotConnected:
            return  # the server forgets it by itself, INACTIVE_SECONDS later

    def _more(self) -> None:
        """Pull as far as there is room; a burst only when the one before is over and time has passed."""
        if self._broken is not None:
            return
        if not self._gather_seconds:
            while self._outstanding + len(self._events) <= BATCH and self._broken is None:
                self._pull(BATCH, self._request)
        elif self._burst_left <= 0 and self._gathering is None and len(self._events) <= BATCH:
            self._burst, self._burst_left = self._pull(BATCH, self._request), BATCH

    def _pull_request(self, batch: int, expires_seconds: float, *, no_wait: bool = False) -> bytes:
        request: dict[str, int | bool] = {
            "batch": batch,
            "expires": int(expires_seconds * _NS),
            "max_bytes": max(8 * 1024**2, 2 * self._connection.max_payload),
        }
        if no_wait:
            # Together with `expires`: waits for the first event, gives what is there, and is over.
            request["no_wait"] = True
        if expires_seconds > 2 * HEARTBEAT_SECONDS:
            request["idle_heartbeat"] = int(HEARTBEAT_SECONDS * _NS)
        return json.dumps(request).encode()

    def _pull(self, batch: int, request: bytes) -> bytes:
        """Ask for up to `batch` events; answers where word about this request will come to."""
        self._pulls += 1
        reply = self._inbox + b"%d" % self._pulls
        try:
            self._connection.write(self._next_subject, reply, b"", request)
        except NotConnected:
            self._break("not connected")
        else:
            self._outstanding += batch
        return reply

    def _take(self, subject: bytes, reply: bytes, payload: bytes, header: bytes | None) -> None:
        if self._broken is not None:
            return
        # $JS.ACK.<stream>.<consumer>.<tries>.<stream seq>.<consumer seq>.<time>.<pending>, or two tokens more
        # (domain, account) behind ACK, and then perhaps one at the end.
        tokens = reply.split(b".")
        if len(tokens) < 9:
            self._status(subject, header or b"")
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
        self._burst_left -= 1
        name = spelled(subject)
        if self._wants is not None and not self._wants(name):
            if self._lag == 0 or self._outstanding <= BATCH:
                self._wake()
            return
        self._events.append(Recorded(sequence, name, Headers(header or b""), payload))
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def _status(self, subject: bytes, header: bytes) -> None:
        """A message about the consumer: a heartbeat, the end of a pull, or the end of everything."""
        code = header[9:12]
        fields = Headers(header)
        if code == b"100":
            if int(fields.get("Nats-Last-Consumer", "0")) != self._consumed:
                self._break("events were lost on the way")
            else:
                self._lag = 0
                self._reach(int(fields.get("Nats-Last-Stream", "0")))
        elif code not in (b"404", b"408") and b"MaxBytes" not in header and b"Batch Completed" not in header:
            self._break(header[9:].partition(b"\r\n")[0].decode("ascii", "replace"))
        elif subject == self._burst:
            self._burst_over()
        else:
            self._outstanding -= int(fields.get("Nats-Pending-Messages", "0"))
            self._wake()

    def _burst_over(self) -> None:
        """All that there was has come, or as much as one request may bring."""
        self._burst_left = self._outstanding = 0
        if self._lag:
            self._more()
        elif self._gathering is None:
            loop = asyncio.get_running_loop()
            self._gathering = loop.call_later(self._gather_seconds, self._gathered)

    def _gathered(self) -> None:
        self._gathering = None
        self._more()

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
            self._connection.doubts += 1  # a stream that was replaced takes its consumers with it
        self._wake()

    def _wake(self) -> None:
        self._news = True
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)
