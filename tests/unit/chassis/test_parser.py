"""However the bytes are cut, our parser hands over what nats-py's does."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats.errors import ProtocolError
from nats.protocol.parser import Parser

from chassis.eventlog.parser import RawParser

RAW, PLAIN = 1, 2
Seen = list[tuple[Any, ...]]


class Recorder:
    """Stands where the client is, and writes down what it is told."""

    def __init__(self) -> None:
        self.seen: Seen = []

    async def _process_msg(self, *message: Any) -> None:
        self.seen.append(message)

    async def _process_ping(self) -> None:
        self.seen.append(("ping",))

    async def _process_pong(self) -> None:
        self.seen.append(("pong",))

    async def _process_err(self, text: str) -> None:
        self.seen.append(("err", text))

    async def _process_info(self, info: dict[str, Any]) -> None:
        self.seen.append(("info", info))


def message(sid: int, reply: bytes, header: bytes, payload: bytes) -> bytes:
    words = [b"HMSG" if header else b"MSG", b"evt.a.b", b"%d" % sid]
    if reply:
        words.append(reply)
    if header:
        words.append(b"%d" % len(header))
    words.append(b"%d" % (len(header) + len(payload)))
    return b" ".join(words) + b"\r\n" + header + payload + b"\r\n"


MESSAGES = st.builds(
    message,
    st.sampled_from([RAW, PLAIN]),
    st.sampled_from([b"", b"$JS.ACK.E.c.1.2.3.4.5"]),
    st.sampled_from([b"", b"NATS/1.0\r\nA: b\r\n\r\n", b"NATS/1.0 100 Idle\r\n\r\n"]),
    st.binary(max_size=40) | st.sampled_from([b"PING\r\n", b"MSG a 1 3\r\nabc\r\n", b"\r\n"]),
)
OTHERS = st.sampled_from([b"PING\r\n", b"PONG\r\n", b"+OK\r\n", b"-ERR 'no'\r\n", b'INFO {"a": 1}\r\n'])


async def told(parser: Parser, recorder: Recorder, pieces: list[bytes]) -> Seen:
    for piece in pieces:
        await parser.parse(piece)
    assert not parser.buf
    return recorder.seen


async def told_where_it_arrives(parser: RawParser, recorder: Recorder, pieces: list[bytes]) -> Seen:
    for piece in pieces:
        rest = parser.take(piece)
        if rest:
            await parser.parse(rest)
    assert not parser.buf
    return recorder.seen


@given(st.lists(MESSAGES | OTHERS, max_size=12), st.lists(st.integers(1, 60), min_size=1, max_size=60))
def test_it_agrees_with_nats_py(operations: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(operations)
    pieces, at, n = [], 0, 0
    while at < len(stream):
        size = cuts[n % len(cuts)]
        pieces.append(stream[at : at + size])
        at, n = at + size, n + 1
    theirs = Recorder()
    expected = asyncio.run(told(Parser(theirs), theirs, pieces))
    # Every raw message comes through the sink, or, while nats-py has the word, through the client.
    for tell in (told, told_where_it_arrives):
        ours = Recorder()

        def sink(
            subject: bytes, reply: bytes, payload: bytes, header: bytes | None, seen: Seen = ours.seen
        ) -> None:
            seen.append((RAW, subject, reply, payload, header))

        assert asyncio.run(tell(RawParser(ours, {RAW: sink}), ours, pieces)) == expected


@pytest.mark.parametrize("bad", [b"MSG a x 5\r\nabcde\r\n", b"HMSG a 1 x y\r\n\r\n", b"\r\n"])
async def test_nonsense_is_an_error_and_not_a_crash(bad: bytes) -> None:
    with pytest.raises(ProtocolError):
        await RawParser(Recorder(), {}).parse(bad)
