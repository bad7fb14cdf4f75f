"""The HTTP server as it stops: callers on a connection are told that it was the last answer, new ones are not reset."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from services.gateway.web import leaving
from services.gateway.web.app import build
from services.gateway.web.routes.about import About
from services.gateway.web.server import HttpServer, unheard
from tests.fakes.doors import VIEWER, House

pytestmark = pytest.mark.timeout(60)
ABOUT = About("0", "keys", 100, 60.0, True, 2, 0.7, False)
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


def test_unheard_nobody_new_comes_in_and_nobody_is_reset() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        before = socket.create_connection(listening.getsockname(), timeout=10)
        unheard(listening)
        with pytest.raises(TimeoutError):  # not refused, not reset
            socket.create_connection(listening.getsockname(), timeout=0.2)
        taken, _ = listening.accept()
        before.sendall(b"still here")
        assert taken.recv(100) == b"still here"
        before.close()
        taken.close()
