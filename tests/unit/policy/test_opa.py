"""Asking an OPA server: what is a clear answer in time is heard, everything else refuses."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from services.policy.adapters import opa as opa_server
from services.policy.adapters.opa import ALL_SECONDS, DEADLINE_SECONDS, OpaServer
from services.policy.domain.rules import RuleOutcome, Said

GOOD: dict[str, Any] = {"result": {"deny": [], "approve": []}}
Answer = Callable[[dict[str, Any]], Awaitable[tuple[int, bytes]]]


@asynccontextmanager
async def answering(
    answer: Answer, deadline_seconds: float = DEADLINE_SECONDS, all_seconds: float = ALL_SECONDS
) -> AsyncIterator[tuple[OpaServer, list[str]]]:
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
    opa = OpaServer(f"http://127.0.0.1:{port}/", deadline_seconds, all_seconds)
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
        ({"result": {"deny": [{"id": "\ud800", "text": "x"}], "approve": []}}, 200),
        ({"result": {"deny": [], "approve": [{"id": "x\n", "text": "x"}]}}, 200),
        ({"result": {"deny": [], "approve": [{"id": "x", "text": "\ud800"}]}}, 200),
        ({"result": {"deny": ["\udfff"], "approve": []}}, 200),
        (gzip.compress(json.dumps(GOOD).encode(), mtime=0), 200),
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


async def test_all_that_is_asked_together_has_one_deadline_and_holds_up_nobody_else() -> None:
    begun, never = asyncio.Event(), asyncio.Event()

    async def answer(asked: dict[str, Any]) -> tuple[int, bytes]:
        if asked["input"]["slow"]:
            begun.set()
            await never.wait()
        return 200, json.dumps(GOOD).encode()

    async with answering(answer, 15.0, 3.0) as (patient, _), asyncio.timeout(20):
        batch = asyncio.create_task(patient.judge([{"slow": n >= 2} for n in range(200)]))
        await begun.wait()
        others = [await patient.judge([{"slow": False}]) for _ in range(20)]
        assert not batch.done()
        said = await batch
    assert all(each == [RuleOutcome()] for each in others)
    assert said[:2] == [RuleOutcome()] * 2
    assert all("all that was asked at once within 3000 ms" in each.failed for each in said[2:])


async def test_no_more_is_read_than_an_answer_may_have_and_nothing_is_unpacked() -> None:
    sent, heads = 0, []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        heads.append((await reader.readuntil(b"\r\n\r\n")).lower())
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        with suppress(ConnectionError):
            while True:
                writer.write(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
                await writer.drain()
                sent += 0x10000
        writer.close()

    endless = await asyncio.start_server(serve, "127.0.0.1", 0)
    opa = OpaServer(
        f"http://127.0.0.1:{endless.sockets[0].getsockname()[1]}", deadline_seconds=10.0, all_seconds=10.0
    )
    async with asyncio.timeout(8):
        (said,) = await opa.judge([{}])
    await opa.stop()
    endless.close()
    assert "too long" in said.failed
    assert sent < 64 * 1024 * 1024, "what buffers hold, and no more"
    assert b"accept-encoding: identity" in heads[0]


async def test_nobody_there_is_a_failure_and_health_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opa_server, "PROBE_SECONDS", 60.0)  # what counts is who is there, not how busy we are
    async with answering(saying({})) as (opa, _):
        assert await opa.answers()
        assert opa.why() == ""
    gone = OpaServer("http://127.0.0.1:1", deadline_seconds=60.0, all_seconds=60.0)
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
