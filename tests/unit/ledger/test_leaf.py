"""The leaf: equal for what was published alike, different for anything else, and exactly the documented bytes."""

from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from services.ledger.domain.leaf import MAX_LEAF_BYTES, header_lines, leaf_data, leaf_hash

SUBJECT = b"evt.default.policy.agent.sre-1.AgentRevoked"
BLOCK = b"NATS/1.0\r\nce-id: 7\r\nce-aggver: 2\r\nNats-Msg-Id: 7\r\n\r\n"


def data(subject: bytes = SUBJECT, block: bytes = BLOCK, payload: bytes = b"payload") -> bytes:
    return leaf_data(subject, block, header_lines(block), payload)


def test_the_documented_bytes() -> None:
    assert data() == (
        b"provost leaf v1\r\nevt.default.policy.agent.sre-1.AgentRevoked\r\n"
        b"Nats-Msg-Id: 7\r\nce-aggver: 2\r\nce-id: 7\r\n\r\n" + sha256(b"payload").digest()
    )
    assert leaf_hash(data()) == sha256(b"\x00" + data()).digest()
    assert leaf_hash(b"") == sha256(b"\x00").digest()


def test_a_message_without_headers() -> None:
    plain = b"provost leaf v1\r\n" + SUBJECT + b"\r\n\r\n" + sha256(b"").digest()
    assert data(block=b"", payload=b"") == plain
    assert data(block=b"NATS/1.0\r\n\r\n", payload=b"") == plain


def test_the_order_of_headers_says_nothing() -> None:
    lines = [b"a: 1", b"b: 2", b"a-b: 3", b"a: 0"]
    block = b"NATS/1.0\r\n%b\r\n\r\n"
    assert data(block=block % b"\r\n".join(lines)) == data(block=block % b"\r\n".join(reversed(lines)))
    assert data(block=block % b"\r\n".join(lines)) != data(block=block % b"\r\n".join(lines[:3]))
    assert data(block=block % b"\r\n".join(lines)) != data(block=block % b"\r\n".join([*lines, b"a: 0"]))


def test_a_block_that_cannot_be_read_is_hashed_as_it_came() -> None:
    for block in (
        b"x",
        b"NATS/1.0",
        b"NATS/1.0\r\n",
        b"NATS/1.0 503\r\n\r\n",
        b"HTTP/1.0\r\na: 1\r\n\r\n",
        b"NATS/1.0\r\na: 1\r\n",
    ):
        assert header_lines(block) is None, block
        assert data(block=block) == (
            b"provost leaf v1 opaque\r\n"
            + SUBJECT
            + b"\r\n"
            + sha256(block).digest()
            + sha256(b"payload").digest()
        )


def test_a_leaf_never_outgrows_an_entry_bundle() -> None:
    fits = b"NATS/1.0\r\na: %b\r\n\r\n" % (b"x" * 65_000)
    large = b"NATS/1.0\r\na: %b\r\n\r\n" % (b"x" * 65_500)
    assert data(block=fits).startswith(b"provost leaf v1\r\n")
    assert data(block=large).startswith(b"provost leaf v1 opaque\r\n")
    assert len(data(block=large)) < len(data(block=fits)) <= MAX_LEAF_BYTES


TEXT = st.binary(max_size=12).filter(lambda raw: b"\r\n" not in raw and not raw.endswith(b"\r"))
LINES = st.lists(st.tuples(TEXT, TEXT), max_size=4)
MESSAGES = st.tuples(TEXT, LINES, st.binary(max_size=8))


@given(MESSAGES, MESSAGES)
def test_two_messages_share_a_leaf_only_when_they_are_the_same(
    one: tuple[bytes, list[tuple[bytes, bytes]], bytes], other: tuple[bytes, list[tuple[bytes, bytes]], bytes]
) -> None:
    def canonical(message: tuple[bytes, list[tuple[bytes, bytes]], bytes]) -> object:
        return message[0], sorted(b"%b:%b" % each for each in message[1]), message[2]

    def of(message: tuple[bytes, list[tuple[bytes, bytes]], bytes]) -> bytes:
        block = b"NATS/1.0\r\n" + b"".join(b"%b:%b\r\n" % each for each in message[1]) + b"\r\n"
        return data(message[0], block, message[2])

    assert (of(one) == of(other)) == (canonical(one) == canonical(other))


@given(st.integers(0, (len(SUBJECT) + len(BLOCK) + 7) * 8 - 1))
def test_every_bit_of_a_message_is_committed_to(bit: int) -> None:
    whole = bytearray(SUBJECT + BLOCK + b"payload")
    whole[bit // 8] ^= 1 << bit % 8
    subject, rest = bytes(whole[: len(SUBJECT)]), bytes(whole[len(SUBJECT) :])
    assert data(subject, rest[: len(BLOCK)], rest[len(BLOCK) :]) != data()
