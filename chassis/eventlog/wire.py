"""A NATS connection with a raw lane: headers and payloads as bytes, without nats-py's header dictionaries.

nats-py spends three quarters of a follower's time on parsing headers and on queues. The raw lane takes
messages where the protocol parser hands them over (`Client._process_msg`) and writes prepared bytes to the
transport. What it relies on is private to nats-py 2.16 and pinned by a test.
"""

import asyncio
from collections.abc import Callable
from itertools import count
from typing import NamedTuple

from nats import errors
from nats.aio.client import Client
from nats.aio.subscription import Subscription

from chassis.eventlog.parser import RawParser
from kernel.events import Recorded

Sink = Callable[[bytes, bytes, bytes, bytes | None], None]
"""Takes subject, reply subject, payload and header block of one message; must not block or raise."""


class Newest(NamedTuple):
    """An event of the log: its sequence, and itself or its id."""

    sequence: int
    event: Recorded | str


class NotConnected(Exception):
    """Nothing was sent: there is no connection at the moment."""


class AnswerLost(Exception):
    """It was sent, and no answer came: it may have been carried out."""


class Connection(Client):
    """A nats-py client with a raw lane beside the usual calls."""

    def __init__(self, *, require_tls: bool = False) -> None:
        super().__init__()
        self._require_tls = require_tls
        self._sinks: dict[int, Sink] = {}
        self._ps = RawParser(self, self._sinks)
        self._asked: dict[bytes, asyncio.Future[tuple[bytes | None, bytes]]] = {}
        self._tokens = count(1)
        self._inbox = b""
        self.connected = asyncio.Event()
        """Set while there is a connection."""
        self.newest: Newest | None = None
        """The newest event that this process knows to be in the log."""
        self.doubts = 0
        """How often the log may have become another one: see `chassis.eventlog.source.recognise`."""
        self.recognised = 0
        self.missed = -1
        """The doubt (as `doubts` counts them) of which it is known that the log did become another one."""
        self.on_lost: set[Callable[[], None]] = set()
        """Called when the connection goes away; must not block or raise."""

    def _connect_command(self) -> bytes:
        # nats-py goes on in the clear, credentials and all, when a server does not ask for TLS.
        if self._require_tls and not self._server_info.get("tls_required"):
            raise errors.Error("the server does not offer TLS, which is required here")
        return super()._connect_command()

    async def _read_loop(self) -> None:
        # Messages of the raw lane go to their sinks where they arrive, and not a task's wake-up later; everything else,
        # and whatever comes behind it, takes nats-py's way.
        reader = getattr(self._transport, "_io_reader", None)
        if isinstance(reader, asyncio.StreamReader):
            feed, parser = reader.feed_data, self._ps

            def arrived(data: bytes) -> None:
                rest = data if reader._buffer else parser.take(data)  # type: ignore[attr-defined]
                if rest:
                    feed(rest)

            reader.feed_data = arrived  # type: ignore[method-assign,assignment]
        await super()._read_loop()

    async def _process_msg(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None
    ) -> None:
        sink = self._sinks.get(sid)
        if sink is None:
            await super()._process_msg(sid, subject, reply, data, headers)  # type: ignore[arg-type]
        else:
            sink(subject, reply, data, headers)

    async def listen(self, subject: str, sink: Sink) -> Subscription:
        """Hand every message on `subject` to `sink`, across reconnects, until unsubscribed."""
        subscription = await self.subscribe(subject)
        self._sinks[subscription._id] = sink
        return subscription

    async def unlisten(self, subscription: Subscription) -> None:
        """End what `listen` began; harmless when the connection is closed."""
        self._sinks.pop(subscription._id, None)
        if not self.is_closed:
            await subscription.unsubscribe()

    def write(self, subject: str, reply: bytes, header: bytes, payload: bytes) -> None:
        """Publish; `header` is a whole NATS header block, or empty.

        Raises:
            NotConnected: nothing was sent.
        """
        if not self.is_connected or self._transport is None:
            raise NotConnected
        if header:
            line = f"HPUB {subject} {reply.decode()} {len(header)} {len(header) + len(payload)}\r\n"
        else:
            line = f"PUB {subject} {reply.decode()} {len(payload)}\r\n"
        if self._pending:
            # A subscription may be waiting here for nats-py's flusher: its answers must not come before it.
            waiting, self._pending, self._pending_data_size = self._pending, [], 0
            self._transport.writelines(waiting)
        self._transport.write(b"".join((line.encode(), header, payload, b"\r\n")))

    async def ask(
        self, subject: str, payload: bytes = b"", *, header: bytes = b"", timeout_seconds: float = 2.0
    ) -> tuple[bytes | None, bytes]:
        """Publish and wait for the one answer: its header block and payload.

        Raises:
            NotConnected: nothing was sent.
            AnswerLost: no answer within `timeout_seconds`, or the connection went away meanwhile.
        """
        if not self._inbox:
            await self._open_inbox()
        loop = asyncio.get_running_loop()
        token = b"%d" % next(self._tokens)
        future: asyncio.Future[tuple[bytes | None, bytes]] = loop.create_future()
        self._asked[token] = future
        try:
            self.write(subject, self._inbox + token, header, payload)
            late = loop.call_later(timeout_seconds, _lose, future)
            try:
                return await future
            finally:
                late.cancel()
        finally:
            del self._asked[token]

    def knows(self, sequence: int, event: Recorded | str) -> None:
        """An event was read, or its append was acknowledged."""
        if self.newest is None or sequence > self.newest.sequence:
            self.newest = Newest(sequence, event)

    async def wait_connected(self, timeout_seconds: float) -> bool:
        """Whether there is a connection within `timeout_seconds`."""
        try:
            await asyncio.wait_for(self.connected.wait(), timeout_seconds)
        except TimeoutError:
            return False
        return True

    def lose_answers(self) -> None:
        """The connection went away: whoever waits for an answer is told at once."""
        self.connected.clear()
        self.doubts += 1
        for future in list(self._asked.values()):
            _lose(future)
        for lost in list(self.on_lost):
            lost()

    async def _open_inbox(self) -> None:
        inbox = self.new_inbox().encode() + b"."
        self._inbox = inbox
        await self.listen(inbox.decode() + "*", self._answered)

    def _answered(self, subject: bytes, reply: bytes, payload: bytes, header: bytes | None) -> None:
        future = self._asked.get(subject[len(self._inbox) :])
        if future is not None and not future.done():
            future.set_result((header, payload))


def _lose(future: "asyncio.Future[tuple[bytes | None, bytes]]") -> None:
    if not future.done():
        future.set_exception(AnswerLost())
