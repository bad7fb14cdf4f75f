"""The client of witnesses against servers that are slow, rude, or gone."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from kernel.faults import Unavailable
from services.ledger.adapters.witnesses import MAX_ANSWER_BYTES, HttpWitness
from services.ledger.domain.witnesses import Cosigned, Elsewhere, Inconsistent

VKEY = "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2"
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(serve: Serve) -> AsyncIterator[HttpWitness]:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield HttpWitness(f"http://127.0.0.1:{port}/prefix/", VKEY)
    finally:
        server.close()


async def asked(reader: asyncio.StreamReader) -> bytes:
    """One request, whole."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")
    )
    return head + await reader.readexactly(length)


def answering(
    *answers: bytes, seen: list[bytes] | None = None, connections: list[int] | None = None
) -> Serve:
    """Answers each request on a connection in turn, then hangs up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if connections is not None:
            connections.append(1)
        for answer in answers:
            request = await asked(reader)
            if seen is not None:
                seen.append(request)
            writer.write(answer)
            await writer.drain()
        writer.close()

    return serve


def answer(status: str, body: bytes, kind: str = "text/plain") -> bytes:
    return f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


async def test_what_is_sent_is_what_the_specification_says() -> None:
    seen: list[bytes] = []
    async with serving(answering(answer("200 OK", b"lines\n"), seen=seen)) as witness:
        assert await witness.ask(7, [bytes(32)], "origin\n8\nroot\n\nsigned\n") == Cosigned("lines\n")
    assert seen[0].startswith(b"POST /prefix/add-checkpoint HTTP/1.1\r\n")
    assert seen[0].endswith(b"\r\n\r\nold 7\n" + b"A" * 43 + b"=\n\norigin\n8\nroot\n\nsigned\n")


@pytest.mark.parametrize(
    ("raw", "meant"),
    [
        (answer("409 Conflict", b"12\n", "text/x.tlog.size"), Elsewhere(12)),
        (answer("409 Conflict", b"0\n", "text/x.tlog.size; charset=utf-8"), Elsewhere(0)),
        (answer("422 Unprocessable Entity", b"no\n"), Inconsistent()),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", Cosigned("abc")),
    ],
)
async def test_answers_are_understood(raw: bytes, meant: object) -> None:
    async with serving(answering(raw)) as witness:
        assert await witness.ask(0, [], "note") == meant


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (answer("403 Forbidden", b""), "does not trust the key"),
        (answer("404 Not Found", b""), "does not watch"),
        (answer("409 Conflict", b"12\n"), "409"),
        (answer("409 Conflict", b"-1\n", "text/x.tlog.size"), "409"),
        (answer("409 Conflict", b"9" * 30 + b"\n", "text/x.tlog.size"), "409"),
        (answer("302 Found", b""), "302"),
        (answer("429 Too Many Requests", b""), "429"),
        (answer("200 OK", b"\xff"), "not text"),
        (answer("200 OK", b"x" * (MAX_ANSWER_BYTES + 1)), "too long"),
        (b"SSH-2.0-OpenSSH\r\n", "BadStatusLine"),
        (b"", "RemoteDisconnected"),
    ],
)
async def test_anything_else_is_no_answer(raw: bytes, said: str) -> None:
    async with serving(answering(raw)) as witness:
        with pytest.raises(Unavailable, match=said):
            await witness.ask(0, [], "note")


async def test_a_connection_is_kept_and_made_anew_when_it_was_closed() -> None:
    connections: list[int] = []
    answers = [answer("200 OK", b"one"), answer("200 OK", b"two")]
    async with serving(answering(*answers, connections=connections)) as witness:
        said = [await witness.ask(0, [], "note") for _ in range(4)]
    assert said == [Cosigned("one"), Cosigned("two")] * 2
    assert len(connections) == 2


async def test_who_drips_is_given_up_and_leaves_no_thread_behind() -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asked(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 60000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    begun = time.monotonic()
    async with serving(drip) as witness:
        for _ in range(3):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await witness.ask(0, [], "note")
    assert time.monotonic() - begun < 10


async def test_nobody_there_is_said_at_once() -> None:
    async with serving(answering(b"")) as witness:
        pass
    with pytest.raises(Unavailable, match="ConnectionRefused"):
        await witness.ask(0, [], "note")
