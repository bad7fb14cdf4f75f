"""Connections of strangers, and streams that are open, keep nobody else out; what says nothing is ended."""

import asyncio
import resource
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio

from services.gateway.domain.callers import Caller
from services.gateway.domain.history import Watched, WatchFrom
from services.gateway.domain.records import EventFilter
from services.gateway.web import room
from services.gateway.web import server as web_server
from services.gateway.web.app import build
from services.gateway.web.routes.about import About
from services.gateway.web.server import HttpServer
from tests.fakes.doors import ADMIN, OPERATOR, VIEWER, FakeLedger, House

pytestmark = pytest.mark.timeout(60)
ABOUT = About("0", "keys", 100, 60.0, True, 2, 0.7, False)
ASK = b"GET /api/config HTTP/1.1\r\nHost: localhost\r\n\r\n"
Pipe = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Quiet(FakeLedger):
    """A watch in which nothing happens."""

    async def watch(
        self, events: EventFilter, begin: WatchFrom, caller: Caller
    ) -> AsyncGenerator[Watched, None]:
        yield Watched((), "c0", 0)
        await asyncio.Event().wait()


class Served:
    def __init__(self, house: House, web: HttpServer) -> None:
        self.house, self.web = house, web
        self._held = AsyncExitStack()

    async def connected(self, said: bytes = b"") -> Pipe:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.web.port)
        self._held.callback(writer.close)
        writer.write(said)
        return reader, writer

    async def others_are_answered(self) -> None:
        reader, _ = await self.connected(ASK)
        async with asyncio.timeout(5):
            assert (await reader.readline()).split()[1] == b"200"

    async def closed(self) -> None:
        await self._held.aclose()


@pytest_asyncio.fixture
async def served() -> AsyncIterator[Served]:
    house = House(ledger=Quiet())
    web = HttpServer(build(house.gateway, ABOUT), "127.0.0.1", 0, 1.0)
    await web.start()
    serving = Served(house, web)
    yield serving
    await serving.closed()
    await web.stop()


async def test_connections_that_say_nothing_keep_nobody_out(served: Served) -> None:
    for _ in range(100):
        await served.connected()
        await served.connected(b"POST /api/runs HTTP/1.1\r\nHost: x\r\nX-A: ")
    await served.others_are_answered()


async def test_streams_that_are_open_keep_nobody_out(served: Served) -> None:
    for key in (VIEWER, OPERATOR, ADMIN):
        ask = f"GET /api/events/stream HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {key}\r\n\r\n".encode()
        for _ in range(60):
            reader, _ = await served.connected(ask)
            assert (await reader.readline()).split()[1] == b"200"
    await served.others_are_answered()


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\nX-A: ", ASK, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"])
async def test_a_connection_that_says_nothing_more_is_ended(
    said: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web_server, "HEAD_SECONDS", 0.2)
    web = HttpServer(build(House().gateway, ABOUT), "127.0.0.1", 0, 1.0)
    await web.start()
    serving = Served(House(), web)
    reader, _ = await serving.connected(said)
    async with asyncio.timeout(10):
        await reader.read()  # to its end
    await serving.closed()
    await web.stop()


async def test_a_head_that_does_not_end_costs_only_so_much(served: Served) -> None:
    reader, _ = await served.connected(b"GET / HTTP/1.1\r\nX-A: " + b"a" * 4 * room.HEAD_BYTES)
    async with asyncio.timeout(5):
        assert (await reader.readline()).split()[1] == b"431"


def test_there_are_as_many_as_descriptors_allow(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = {"now": (1_024, 4_096)}
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits["now"])
    monkeypatch.setattr(resource, "setrlimit", lambda _, to: limits.update(now=to))
    assert (room.connections(), limits["now"]) == (3_072, (4_096, 4_096))
    limits["now"] = (1_024, resource.RLIM_INFINITY)
    assert (room.connections(), limits["now"]) == (12_000, (room.DESCRIPTORS, resource.RLIM_INFINITY))
    limits["now"] = (100_000, 200_000)
    assert (room.connections(), limits["now"]) == (12_000, (100_000, 200_000))
