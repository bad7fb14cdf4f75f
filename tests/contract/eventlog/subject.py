"""The two logs under test, and what a test may do to each."""

import json
import shutil
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from typing import Any, Protocol

from chassis.eventlog.api import call
from chassis.eventlog.connection import connect
from chassis.eventlog.feed import Source
from chassis.eventlog.headers import block
from chassis.eventlog.jetstream import JetStreamLog
from chassis.eventlog.memory import MemoryLog
from chassis.eventlog.stream import EVENTS, ensure_stream
from chassis.eventlog.wire import AnswerLost, Connection
from kernel.events import Appended, Cause, Head, Stream
from kernel.faults import Unavailable
from kernel.ports import EventLog
from tests.contract.eventlog.words import CODEC, SOURCE
from tests.fakes.nats_server import NatsServer, fresh_stream
from tests.fakes.wait import until

Meanwhile = Callable[[], Awaitable[object]]


async def nothing() -> None:
    """What happens meanwhile, unless a test says otherwise."""


class Subject(Protocol):
    """A log under test: `log` and `other` are two writers to it, `source` is what to follow."""

    log: EventLog
    other: EventLog
    source: Source
    gather_seconds: float

    async def append_losing_the_answer(
        self,
        stream: Stream,
        events: Sequence[object],
        after: Head,
        cause: Cause,
        meanwhile: Meanwhile = nothing,
    ) -> Appended:
        """Append; it is written, its answer is lost, `meanwhile` happens, and it is tried again."""
        ...

    async def put(self, subject: str, payload: bytes, lines: str) -> int:
        """Another program writes something, unguarded; its sequence."""
        ...

    async def be_unreachable(self) -> None:
        """The next append finds nobody who answers."""

    async def break_feeds(self) -> None:
        """Followers lose what they read from."""

    async def forget_ids(self) -> None:
        """The duplicate window passes."""

    async def fill(self) -> None:
        """There is no room for another event."""

    async def remember(self) -> None:
        """Take a copy of the log."""

    async def go_back(self) -> None:
        """Restore the copy."""


class Memory:
    """The log in memory."""

    def __init__(self) -> None:
        self.memory = MemoryLog(CODEC, SOURCE)
        self.log: EventLog = self.memory
        self.other: EventLog = self.memory.for_service(CODEC, SOURCE)
        self.source: Source = self.memory
        self.gather_seconds = 0.0
        self._copied = 0

    async def append_losing_the_answer(
        self,
        stream: Stream,
        events: Sequence[object],
        after: Head,
        cause: Cause,
        meanwhile: Meanwhile = nothing,
    ) -> Appended:
        self.memory.lose_next_answer()
        try:
            await self.log.append(stream, events, after=after, cause=cause)
        except Unavailable:
            await meanwhile()
        return await self.log.append(stream, events, after=after, cause=cause)

    async def put(self, subject: str, payload: bytes, lines: str) -> int:
        return self.memory.put(subject, payload, block(lines))

    async def be_unreachable(self) -> None:
        self.memory.fail_next()

    async def break_feeds(self) -> None:
        self.memory.break_feeds()

    async def forget_ids(self) -> None:
        self.memory.forget_ids()

    async def fill(self) -> None:
        self.memory.fill()

    async def remember(self) -> None:
        self._copied = await self.memory.last_sequence()

    async def go_back(self) -> None:
        self.memory.truncate(self._copied)


class JetStream:
    """The log on a real nats-server."""

    def __init__(self, server: NatsServer, connection: Connection, second: Connection) -> None:
        self.server = server
        self.gather_seconds = 0.0
        self.second = second
        self.connection = connection
        self.log: EventLog = JetStreamLog(connection, CODEC, SOURCE, patience_seconds=5.0)
        self.other: EventLog = JetStreamLog(second, CODEC, SOURCE)
        self.source: Source = JetStreamLog(connection, CODEC, SOURCE)

    async def append_losing_the_answer(
        self,
        stream: Stream,
        events: Sequence[object],
        after: Head,
        cause: Cause,
        meanwhile: Meanwhile = nothing,
    ) -> Appended:
        ask = self.connection.ask
        asked = 0

        async def losing(subject: str, payload: bytes = b"", **rest: Any) -> tuple[bytes | None, bytes]:
            nonlocal asked
            answer = await ask(subject, payload, **rest)
            asked += 1
            # Of several events the first and the last are asked for; the answer to the last is the one that counts.
            if subject.startswith("evt.") and asked == min(len(events), 2):
                await meanwhile()
                raise AnswerLost
            return answer

        self.connection.ask = losing  # type: ignore[method-assign]
        try:
            return await self.log.append(stream, events, after=after, cause=cause)
        finally:
            self.connection.ask = ask  # type: ignore[method-assign]

    async def put(self, subject: str, payload: bytes, lines: str) -> int:
        _, answer = await self.connection.ask(subject, payload, header=block(lines), timeout_seconds=30)
        return int(json.loads(answer)["seq"])

    async def be_unreachable(self) -> None:
        self.log = JetStreamLog(self.connection, CODEC, SOURCE, patience_seconds=0.3)
        self.server.pause()

    async def break_feeds(self) -> None:
        self.server.kill()
        self.server.start()

    async def forget_ids(self) -> None:
        config = (await call(self.connection, f"STREAM.INFO.{EVENTS}"))["config"]
        windows = count(10**8)
        lines = "Nats-Msg-Id: probe\r\n"
        first = await self.put("evt.probe.a.b.c.D", b"", lines)

        async def passed() -> bool:
            # A changed window makes the server look at once which ids are past it. One change was not always enough:
            # on a machine under load it once looked no more afterwards. So every question changes it a little.
            await call(
                self.connection, f"STREAM.UPDATE.{EVENTS}", config | {"duplicate_window": next(windows)}
            )
            return await self.put("evt.probe.a.b.c.D", b"", lines) != first

        await until(passed, "the duplicate window never passed")

    async def fill(self) -> None:
        info = await call(self.connection, f"STREAM.INFO.{EVENTS}")
        await ensure_stream(self.connection, max_bytes=max(1, info["state"]["bytes"]))

    async def remember(self) -> None:
        self.server.stop()
        shutil.copytree(self.server.store, self.server.store.with_name("copy"))
        self.server.start()

    async def go_back(self) -> None:
        self.server.kill()
        shutil.rmtree(self.server.store)
        self.server.store.with_name("copy").rename(self.server.store)
        self.server.start()


async def jetstream(server: NatsServer) -> JetStream:
    """The log on `server`, empty."""
    connection = await connect(server.url, name="test")
    await fresh_stream(connection)
    return JetStream(server, connection, await connect(server.url, name="other"))
