"""The scrubber over a book in SQLite and a log in a list: whatever one flips, one pass names."""

import re
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kernel.faults import Refused
from services.ledger.domain.faults import LedgerDiverged, StreamRegression
from services.ledger.domain.questions import EventQuestion
from tests.unit.ledger.fakes import Bench, ListedLog
from tests.unit.ledger.story import BEGIN, plain, plains

SIZE = 700


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = await Bench(tmp_path, ListedLog(plains(SIZE))).start()
    await bench.ledger.begin()
    for size in (100, 400, SIZE):
        await bench.ledger.take(bench.log.messages[:size])
        await bench.ledger.sign(BEGIN)
    yield bench
    await bench.book.close()


def behind_its_back(bench: Bench, *statements: str) -> None:
    db = sqlite3.connect(bench.database, isolation_level=None)
    for (trigger,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        db.execute(f"DROP TRIGGER {trigger}")
    for statement in statements:
        assert db.execute(statement).rowcount >= 1, statement
    db.close()


async def one_pass(bench: Bench) -> None:
    for _ in range(bench.ledger.scrubber.slices):
        await bench.ledger.scrubber.step(BEGIN)


async def test_a_pass_over_everything_ends_where_it_began(bench: Bench) -> None:
    scrubber = bench.ledger.scrubber
    assert (scrubber.slices, scrubber.scrubbed.passes) == (3, 0)
    for upto in (257, 513, 1, 257):
        await scrubber.step(BEGIN)
        assert scrubber.scrubbed.next == upto
    assert (scrubber.scrubbed.passes, scrubber.scrubbed.finished_at) == (1, BEGIN)
    assert scrubber.finding().detail.startswith("256 of 700 rows of pass 2, the last one ended 2026-03-01")


async def test_it_goes_on_where_it_was(bench: Bench) -> None:
    await bench.ledger.scrubber.step(BEGIN)
    await bench.restart()
    await bench.ledger.begin()
    assert bench.ledger.scrubber.scrubbed.next == 257
    (bench.home / "scrub.json").write_text("{nonsense")
    await bench.restart()
    assert bench.ledger.scrubber.scrubbed.next == 0


FLIPS = {
    "payload": ("UPDATE events SET payload = x'00' WHERE sequence = 321", 321, "is not what it was"),
    "header": ("UPDATE events SET header = x'00' WHERE sequence = 600", 600, "is not what it was"),
    "subject": ("UPDATE events SET subject = subject || 'x' WHERE sequence = 2", 2, "is not what it was"),
    "leaf": ("UPDATE events SET leaf_hash = zeroblob(32) WHERE sequence = 700", 700, "is not what it was"),
    "deleted": ("DELETE FROM events WHERE sequence = 257", 257, "row 257 is missing"),
    "deleted from the end": ("DELETE FROM events WHERE sequence > 650", 651, "missing"),
    "tile": ("UPDATE tiles SET hashes = zeroblob(8192) WHERE level = 0 AND idx = 1", 257, "leaf 0000"),
    "root of a tile": ("UPDATE tiles SET root = zeroblob(32) WHERE level = 0 AND idx = 1", 257, "do not fit"),
    "head": ("UPDATE heads SET note = replace(note, 'a', 'b') WHERE size = 400", 400, "the head over 400"),
    "head's root": ("UPDATE heads SET root = zeroblob(32) WHERE size = 100", 100, "signed over 100"),
}


@pytest.mark.parametrize("flip", FLIPS)
async def test_what_is_flipped_is_named_within_one_pass(bench: Bench, flip: str) -> None:
    statement, sequence, text = FLIPS[flip]
    await one_pass(bench)
    behind_its_back(bench, statement)
    with pytest.raises(LedgerDiverged, match=re.escape(text)) as caught:
        await one_pass(bench)
    assert caught.value.facts["sequence"] == str(sequence)
    # It stays there: a process that is started again finds it at once.
    await bench.book.close()
    bench.make()
    with pytest.raises(LedgerDiverged) as again:
        await bench.ledger.begin()
    assert (await bench.ledger.locate(again.value)).facts["sequence"] == str(sequence)
    assert len((await bench.ledger.answers.events(EventQuestion("default"), 5, "")).rows) == 5


async def test_a_row_edited_with_its_own_hash_is_named(bench: Bench) -> None:
    behind_its_back(
        bench,
        "UPDATE events SET (subject, header, payload, leaf_hash) ="
        " (SELECT subject, header, payload, leaf_hash FROM events WHERE sequence = 5) WHERE sequence = 300",
    )
    with pytest.raises(LedgerDiverged, match="row 300 is not the one in the tree: leaf .* was expected"):
        await one_pass(bench)


async def test_rows_added_at_the_end_are_named_at_the_start(bench: Bench) -> None:
    columns = "leaf_hash, subject, header, payload"
    behind_its_back(
        bench,
        f"INSERT INTO events (sequence, {columns}) SELECT sequence + 100, {columns} FROM events WHERE sequence = 690",
    )
    await bench.restart()
    with pytest.raises(LedgerDiverged, match="row 790 was added behind the ledger's back") as caught:
        await bench.ledger.begin()
    assert caught.value.facts["sequence"] == "790"


async def test_a_tail_that_was_cut_off_neatly_is_shown_by_a_signed_head(bench: Bench) -> None:
    await bench.book.close()
    copy = bench.database.read_bytes()
    assert len(copy) > 0
    small = await Bench(bench.home / "other", ListedLog(plains(400))).start()
    await small.ledger.begin()
    await small.catch_up()
    db = sqlite3.connect(small.database)
    (root,) = db.execute("SELECT root FROM position").fetchone()
    db.close()
    await small.book.close()
    behind_its_back(
        bench,
        "DELETE FROM events WHERE sequence > 400",
        "DELETE FROM tiles WHERE level = 0 AND idx >= 1",
        f"UPDATE position SET last_seq = 400, root = x'{root.hex()}'",
    )
    await bench.start()
    with pytest.raises(
        LedgerDiverged, match="a head over 700 leaves was signed, the ledger has 400 rows"
    ) as caught:
        await bench.ledger.begin()
    assert caught.value.facts["sequence"] == "401"


async def test_one_message_of_the_log_that_was_changed_is_named(bench: Bench) -> None:
    bench.log.messages[410] = plain(411, run="forged")
    with pytest.raises(
        LedgerDiverged, match="event 411 of the log is not the one .* was expected, .* is there"
    ):
        await one_pass(bench)
    bench.log.messages[410] = plain(411)
    await bench.ledger.begin()
    assert bench.ledger.diverged is None
    await one_pass(bench)


async def test_a_log_that_was_cut_or_purged_is_noticed_while_it_runs(bench: Bench) -> None:
    whole = list(bench.log.messages)
    for left, sequence in ((whole[:650], 651), (whole[20:], 1), ([], 1)):
        bench.log.messages[:] = left
        with pytest.raises(StreamRegression, match=f"first event missing is {sequence}$"):
            await bench.ledger.scrubber.step(BEGIN)


async def test_a_rebuild_mends_the_book(bench: Bench) -> None:
    behind_its_back(bench, "UPDATE events SET payload = x'00' WHERE sequence = 321")
    with pytest.raises(Refused):
        await one_pass(bench)
    reports = [each async for each in bench.ledger.rebuild()]
    assert reports[-1].swapped, reports[-1]
    await bench.ledger.begin()
    await one_pass(bench)
    assert bench.ledger.diverged is None
