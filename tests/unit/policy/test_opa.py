"""Asking an OPA server: what is a clear answer in time is heard, everything else refuses."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from services.policy.adapters.opa import OpaServer
from services.policy.domain.rules import RuleOutcome, Said

Answer = Callable[[dict[str, Any]], Awaitable[tuple[int, bytes]]]


@asynccontextmanager
async def answering(answer: Answer) -> AsyncIterator[tuple[OpaServer, list[str]]]:
    """A server that answers so; and the peers that connected to it."""
    peers: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peers.append(str(writer.get_extra_info("peername")))
        while head := await reader.readuntil(b"\r\n\r\n"):
            lines = head.decode().lower().split("\r\n")
            length = next((int(each.split(":")[1]) for each in lines if each.startswith("content-length")), 0)
            asked = json.loads(await reader.readexactly(length)) if length else {"path": lines[0].split()[1]}
            status, body = await answer(asked)
            writer.write(f"HTTP/1.1 {status} x\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
            await writer.drain()

    async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            writer.close()

    server = await asyncio.start_server(guarded, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    opa = OpaServer(f"http://127.0.0.1:{port}/")
    try:
        yield opa, peers
    finally:
        await opa.stop()
        server.close()


def saying(body: object, status: int = 200) -> Answer:
    async def answer(_asked: dict[str, Any]) -> tuple[int, bytes]:
        return status, body if isinstance(body, bytes) else json.dumps(body).encode()

    return answer


async def test_what_it_says_is_heard_and_each_input_is_its_own_question() -> None:
    async def answer(asked: dict[str, Any]) -> tuple[int, bytes]:
        name = asked["input"]["name"]
        deny = [f"not {name}"] if name == "b" else []
        return 200, json.dumps({"result": {"deny": deny, "approve": [{"id": "x", "text": name}]}}).encode()

    async with answering(answer) as (opa, peers):
        said = await opa.judge([{"name": name} for name in "abc"])
        again = await opa.judge([{"name": "a"}])
    assert said[0] == again[0] == RuleOutcome((), (Said("x", "a"),))
    assert said[1] == RuleOutcome((Said("opa", "not b"),), (Said("x", "b"),))
    assert len(peers) <= 3, "connections are kept"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"result": {"deny": [], "approve": []}}, 500),
        ({"result": {"deny": [], "approve": []}}, 302),
        ({}, 200),
        ({"result": {}}, 200),
        ({"result": {"deny": []}}, 200),
        ({"result": {"deny": "no", "approve": []}}, 200),
        ({"result": {"deny": [4], "approve": []}}, 200),
        ({"result": {"deny": [{"id": "x"}], "approve": []}}, 200),
        ({"result": True}, 200),
        ([], 200),
        (b"<html>", 200),
        (b"\xff\xfe", 200),
        (b"[" * 100_000, 200),
        (b"x" * 300_000, 200),
    ],
)
async def test_whatever_is_no_decision_is_a_failure(body: object, status: int) -> None:
    async with answering(saying(body, status)) as (opa, _):
        (said,) = await opa.judge([{}])
    assert said.failed
    assert not said.denied
    assert not said.approvals


async def test_silence_is_a_failure_and_the_rest_does_not_wait_for_it() -> None:
    never = asyncio.Event()

    async def answer(_asked: dict[str, Any]) -> tuple[int, bytes]:
        await never.wait()
        return 200, b""

    async with answering(answer) as (opa, _), asyncio.timeout(2):
        said = await opa.judge([{}] * 200)
    assert all("250 ms" in each.failed for each in said)


async def test_nobody_there_is_a_failure_and_health_says_so() -> None:
    async with answering(saying({})) as (opa, _):
        assert await opa.answers()
        assert opa.why() == ""
    gone = OpaServer("http://127.0.0.1:1")
    assert not await gone.answers()
    assert "OPA_ENDPOINT" in gone.why()
    (said,) = await gone.judge([{}])
    assert "cannot be reached" in said.failed
    await gone.stop()


async def test_where_none_is_set_there_is_nothing_to_answer() -> None:
    opa = OpaServer("")
    assert not opa.set
    assert await opa.answers()
    assert opa.why() == ""
