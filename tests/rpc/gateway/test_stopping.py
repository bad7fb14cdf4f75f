"""The HTTP server as it stops: callers on a connection are told that it was the last answer, new ones are not reset."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from starlette.types import Receive, Scope, Send

from services.gateway.domain.callers import Caller
from services.gateway.domain.runs import Run, StartRun
from services.gateway.web import leaving
from services.gateway.web.app import build
from services.gateway.web.routes.about import About
from services.gateway.web.server import HttpServer, unheard
from tests.fakes.doors import OPERATOR, VIEWER, FakeOrchestrator, House
from tests.rpc.gateway.test_socket import BOUND

pytestmark = pytest.mark.timeout(60)
ABOUT = About("0", "keys", 100, 60.0, True, 2, 0.7, False)
EVERYWHERE = pytest.mark.parametrize(("listens", "connects"), BOUND.values(), ids=BOUND.keys())
ASK = f"GET /api/config HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {VIEWER}\r\n\r\n".encode()


@pytest_asyncio.fixture
async def web(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[HttpServer]:
    given = HttpServer(build(House().gateway, ABOUT), "127.0.0.1", 0, 1.0)
    await given.start()
    yield given
    monkeypatch.setattr(leaving, "LAST_SECONDS", 0.0)
    await given.stop()


async def asked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
    """The head of the answer, in lower case; its body is read as well."""
    writer.write(ASK)
    head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)).decode().lower()
    await reader.readexactly(int(head.partition("content-length: ")[2].split()[0]))
    return head


async def test_who_asks_again_is_answered_and_told_to_go(
    web: HttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", web.port)
    assert "connection: close" not in await asked(reader, writer)
    monkeypatch.setattr(leaving, "LAST_SECONDS", 3600.0)  # until it is cancelled
    stopping = asyncio.create_task(web.stop())
    await asyncio.wait({stopping}, timeout=0.5)  # long enough for it to end, if it did not wait for us
    head = await asked(reader, writer)
    assert (head.split()[1], "connection: close" in head) == ("200", True)
    assert await asyncio.wait_for(reader.read(), 10) == b""  # and then it is closed
    writer.close()
    stopping.cancel()
    await asyncio.wait({stopping})


async def test_a_websocket_is_let_in_until_the_others_have_been_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaving, "LAST_SECONDS", 3600.0)
    let_in: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        let_in.append(scope["type"])

    callers = leaving.Leaving(app)
    renewing = asyncio.create_task(callers.leave())
    await asyncio.sleep(0)
    await callers({"type": "websocket"}, asyncio.Event().wait, asyncio.Event().wait)  # type: ignore[arg-type]
    assert let_in == ["websocket"]
    renewing.cancel()


class Slow(FakeOrchestrator):
    """Is asked for a run, and never answers."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = asyncio.Event()

    async def start_run(self, ask: StartRun, caller: Caller) -> Run:
        self.begun.set()
        return await asyncio.Future()


@pytest.mark.parametrize("key", ["again", ""])
async def test_who_waits_for_too_long_is_told_how_to_ask_again(key: str) -> None:
    slow = Slow()
    web = HttpServer(build(House(orchestrator=slow).gateway, ABOUT), "127.0.0.1", 0, 1.0)
    await web.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", web.port)
    body = json.dumps({"agent": "sre-1", "task": "t1", "objective": "memory"})
    once = f"Idempotency-Key: {key}\r\n" if key else ""
    head = f"POST /api/runs HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {OPERATOR}\r\n{once}"
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
    await asyncio.wait_for(slow.begun.wait(), 10)
    await asyncio.wait_for(web.stop(), 10)
    told, _, problem = (await asyncio.wait_for(reader.read(), 10)).decode().partition("\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in told.lower().splitlines()[1:])
    assert (told.split()[1], json.loads(problem)["reason"]) == ("503", "SHUTTING_DOWN")
    assert headers["idempotency-key"] == key if key else len(headers["idempotency-key"]) > 8
    assert headers["cache-control"] == "no-store"
    writer.close()


async def test_nobody_new_is_heard_refused_or_reset_while_it_stops(
    web: HttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leaving, "LAST_SECONDS", 3600.0)
    stopping = asyncio.create_task(web.stop())
    await asyncio.sleep(0)  # until it waits
    with pytest.raises(TimeoutError):
        await asyncio.to_thread(socket.create_connection, ("127.0.0.1", web.port), 0.2)
    assert not stopping.done()
    stopping.cancel()
    await asyncio.wait({stopping})


@EVERYWHERE
def test_unheard_nobody_new_comes_in_and_nobody_is_reset(listens: str, connects: str) -> None:
    server = HttpServer(build(House().gateway, ABOUT), listens, 0, 1.0)
    with server._bound() as listening:
        where = (connects, server.port)
        before = socket.create_connection(where, timeout=10)
        unheard(listening)
        with pytest.raises(TimeoutError):  # not refused, not reset
            socket.create_connection(where, timeout=0.2)
        taken, _ = listening.accept()
        before.sendall(b"still here")
        assert taken.recv(100) == b"still here"
        before.close()
        taken.close()
