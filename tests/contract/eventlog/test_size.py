"""How large the log may become: what is set, what is there already, and where the server has no room left."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from prometheus_client import REGISTRY

from chassis.config import ServiceSettings
from chassis.eventlog.api import call
from chassis.eventlog.connection import connect
from chassis.eventlog.jetstream import JetStreamLog
from chassis.eventlog.opened import connected
from chassis.eventlog.stream import EVENTS, UNLIMITED, ensure_stream, stream_state
from chassis.eventlog.wire import Connection
from kernel.events import Head, Stream
from kernel.faults import Exhausted
from tests.contract.eventlog.words import CODEC, ONE, SOURCE, StringValue, cause
from tests.fakes.nats_server import NatsServer

KIB = 1024


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    made = NatsServer(tmp_path)
    made.may_use("2MB")
    made.start()
    yield made
    made.stop()


@pytest_asyncio.fixture
async def log(server: NatsServer) -> AsyncIterator[Connection]:
    connection = await connect(server.url, name="test")
    yield connection
    await connection.close()


async def size(connection: Connection) -> int:
    return int((await call(connection, f"STREAM.INFO.{EVENTS}"))["config"]["max_bytes"])


async def start(server: NatsServer, service: str, max_bytes: int) -> None:
    settings = ServiceSettings(_env_file=None, nats_url=server.url, log_max_bytes=max_bytes)
    await (await connected(settings, service)).close()


async def test_the_ledger_gives_a_log_the_size_that_is_set(server: NatsServer, log: Connection) -> None:
    await start(server, "policy", 512 * KIB)
    assert await size(log) == 512 * KIB
    await start(server, "policy", 0)  # others may make it and nothing more
    assert await size(log) == 512 * KIB
    for max_bytes, then in ((800 * KIB, 800 * KIB), (0, UNLIMITED), (0, UNLIMITED), (256 * KIB, 256 * KIB)):
        await start(server, "ledger", max_bytes)
        assert await size(log) == then


async def test_how_full_it_is_can_be_watched(server: NatsServer, log: Connection) -> None:
    await start(server, "ledger", 512 * KIB)
    for n in range(2):
        await JetStreamLog(log, CODEC, SOURCE).append(
            Stream("default", "test", "word", f"w{n}"),
            [StringValue("x" * 5000)],
            after=Head(),
            cause=cause(f"r{n}"),
        )
        held = (await call(log, f"STREAM.INFO.{EVENTS}"))["state"]["bytes"]
        await stream_state(log)
        assert REGISTRY.get_sample_value("provost_log_bytes") == held > n * 5000
        assert REGISTRY.get_sample_value("provost_log_max_bytes") == 512 * KIB
    await start(server, "ledger", 0)
    await stream_state(log)
    assert REGISTRY.get_sample_value("provost_log_max_bytes") == 0


async def test_it_is_made_no_smaller_than_what_it_holds(events: Connection) -> None:
    await JetStreamLog(events, CODEC, SOURCE).append(
        ONE, [StringValue("x" * 5000)], after=Head(), cause=cause("r1")
    )
    before = await size(events)
    await ensure_stream(events, max_bytes=4000)
    assert await size(events) == before
    held = (await call(events, f"STREAM.INFO.{EVENTS}"))["state"]["bytes"]
    await ensure_stream(events, max_bytes=held)
    assert await size(events) == held


async def test_a_server_that_has_no_room_left_is_a_full_log_until_it_has(
    server: NatsServer, log: Connection
) -> None:
    await ensure_stream(log)
    assert await size(log) == UNLIMITED
    told = JetStreamLog(log, CODEC, SOURCE, patience_seconds=0.5)
    head = Head()
    heavy = [StringValue("x" * 20_000)]

    async def fill() -> None:
        nonlocal head
        while head.version < 500:
            appended = await told.append(ONE, heavy, after=head, cause=cause(f"r{head.version}"))
            head = Head(appended.sequence, head.version + 1)

    with pytest.raises(Exhausted, match="max_file_store") as caught:
        await fill()
    assert (caught.value.reason, head.version > 50) == ("LOG_FULL", True)
    server.may_use("16MB")
    server.kill()
    server.start()
    patient = JetStreamLog(log, CODEC, SOURCE)
    appended = await patient.append(ONE, [StringValue("y")], after=head, cause=cause("again"))
    assert appended.sequence == head.sequence + 1
