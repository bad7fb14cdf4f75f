"""An export's making: what is signed of it, what is refused, and what a row says."""

import io
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.ledger.adapters.exporting.files import Files, WrongMessages
from services.ledger.adapters.exporting.frames import pack_messages, read_messages
from services.ledger.adapters.signer import FileSigner
from services.ledger.domain import export
from services.ledger.domain.checkpoint import Checkpoint, MalformedNote, parse_checkpoint
from services.ledger.domain.entry import Message
from services.ledger.domain.export import Plan, tile_path
from services.ledger.domain.records import SignedHead
from services.ledger.wire.rows import line_of, named, row_of
from tests.unit.ledger.story import plain, plains, run

HEAD = Checkpoint("provost.local/main", 20, bytes(32))
PLAN = Plan(HEAD, 1, True, 8)


def made(messages: list[Message]) -> None:
    Files(PLAN, iter(messages), lambda piece: None).make()


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        (plains(19), "20 messages were to come, 19 came"),
        (plains(21), "more than 20 messages came"),
        ([*plains(5), *plains(15, first=7)], "sequence 6 was to come, 7 came"),
        (plains(20, first=2), "sequence 1 was to come, 2 came"),
    ],
)
def test_other_messages_than_the_plan_s_are_refused(messages: list[Message], said: str) -> None:
    with pytest.raises(WrongMessages, match=said):
        made(messages)


def test_messages_go_through_a_pipe_as_they_are() -> None:
    messages = [*plains(300), Message(301, "\u00e9", b"", b"\x00" * 300_000)]
    packed = b"".join(pack_messages(messages))
    assert list(read_messages(io.BytesIO(packed))) == messages
    for cut in (1, 10, 300_000, len(packed) - 3):
        with pytest.raises(EOFError):
            list(read_messages(io.BytesIO(packed[:-cut])))


async def test_the_signer_signs_exports_of_its_own_heads_alone(tmp_path: Path) -> None:
    signer = FileSigner("provost.local/main", tmp_path / "key", tmp_path / "signer" / "head")
    other = FileSigner("provost.local/main", tmp_path / "other", tmp_path / "others" / "head")
    head = await signer.sign(HEAD, 0, (), datetime(2026, 3, 1, tzinfo=UTC))
    note = await signer.sign_export(PLAN, head, b"s" * 32)
    text = note.partition("\n\n")[0] + "\n"
    assert text == export.manifest(PLAN, b"s" * 32)
    assert text.startswith("provost.local/main/export\nprovost export v1\nsize 20\n")
    with pytest.raises(MalformedNote):
        parse_checkpoint(text)  # it cannot be passed off as a head
    for wrong in (
        SignedHead(HEAD, (await other.sign(HEAD, 0, (), datetime(2026, 3, 1, tzinfo=UTC))).note),
        SignedHead(HEAD, note),
        SignedHead(HEAD, "nonsense"),
    ):
        with pytest.raises(MalformedNote):
            await signer.sign_export(PLAN, wrong, b"s" * 32)
    with pytest.raises(MalformedNote):
        await signer.sign_export(Plan(Checkpoint(HEAD.origin, 19, HEAD.root), 1, True), head, b"s" * 32)


def test_a_row_spells_out_what_is_known_and_is_ascii() -> None:
    message = run()[2]
    row = row_of(3, 2, b"h" * 32, message.subject, message.header, message.payload)
    line = line_of(row)
    shown = json.loads(line)
    assert line.endswith(b"}\n")
    assert line.isascii()
    assert list(shown) == list(row._fields)
    assert (shown["type"], shown["header_block"]) == ("provost.policy.v1.DecisionsMade", None)
    assert [each["verdict"] for each in shown["decoded"]["decisions"]] == ["VERDICT_ALLOW", "VERDICT_DENY"]
    assert shown["headers"]["ce-actor"] == "service:tests"


def test_what_is_not_known_is_not_guessed() -> None:
    unknown = plain(1).header.replace(b"orchestrator.v1.RunPhaseEntered", b"orchestrator.v1.NoSuchEvent")
    assert row_of(1, 0, b"", "s", unknown, b"x").decoded is None
    assert row_of(1, 0, b"", "s", plain(1).header, b"\xff\xff").decoded is None
    assert row_of(1, 0, b"", "s", b"NATS/1.0\r\nce-id: a%20b\r\n\r\n", b"").id == "a b"


@pytest.mark.parametrize(
    ("block", "headers"),
    [
        (b"NATS/1.0\r\na: 1\r\nb:  2 \r\n\r\n", {"a": "1", "b": " 2 "}),
        (b"NATS/1.0\r\n\r\n", {}),
        (b"", None),
        (b"NATS/1.0\r\na: 1\r\na: 1\r\n\r\n", None),
        (b"NATS/1.0\r\na:1\r\n\r\n", None),
        (b"NATS/1.0\r\n\r\na: 1\r\n\r\n", None),
        (b"NATS/1.0\r\na: \xff\r\n\r\n", None),
        (b"NATS/1.0 503\r\n\r\n", None),
    ],
)
def test_headers_have_names_only_where_the_block_can_be_made_of_them(
    block: bytes, headers: dict[str, str] | None
) -> None:
    assert named(block) == headers


def test_tiles_have_the_names_that_the_specification_gives() -> None:
    assert tile_path(0, 1234067, 256) == "tile/0/x001/x234/067"
    assert tile_path("entries", 0, 8) == "tile/entries/000.p/8"
    assert tile_path(2, 1000, 255) == "tile/2/x001/000.p/255"
