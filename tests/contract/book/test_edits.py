"""What somebody with the database in hand does to it is refused, and when forced, found and named."""

import pytest

from services.ledger.domain.checkpoint import Checkpoint
from services.ledger.domain.entry import row_of
from services.ledger.domain.faults import LedgerDiverged
from services.ledger.domain.records import SignedHead
from services.ledger.ports.book import Book
from tests.contract.book.shelves import Shelf, root
from tests.unit.ledger.story import BEGIN, plain, plains, run

EDITS = {
    "UPDATE events SET header = forged(header) WHERE sequence = 123": ("leaves", 123),
    "UPDATE events SET payload = hex(00) WHERE sequence = 280": ("leaves", 280),
    "UPDATE events SET header = hex(00), leaf_hash = zeros(32) WHERE sequence = 5": ("leaves", 5),
    "UPDATE events SET subject = 'evt.default.a.b.c.D' WHERE sequence = 299": ("leaves", 299),
    "DELETE FROM events WHERE sequence = 77": ("continuity", 77),
    "UPDATE events SET sequence = 1000 WHERE sequence = 300": ("continuity", 300),
    "DELETE FROM events WHERE sequence > 290": ("continuity", 291),
    "DELETE FROM event_ids WHERE sequence = 17": ("indexes", 17),
    "UPDATE event_ids SET key = key + 1 WHERE sequence = 17": ("indexes", 17),
    "INSERT INTO event_ids VALUES (0, 7, 300)": ("indexes", 300),
    "DELETE FROM postings": ("indexes", 1),
    "UPDATE postings SET members = hex(00)": ("indexes", 1),
    "UPDATE spans SET to_us = from_us": ("indexes", 1),
    "UPDATE tiles SET hashes = zeros(8192)": ("tiles", 1),
    "UPDATE tiles SET root = zeros(32)": ("tiles", 1),
    "DELETE FROM tiles": ("tiles", 1),
    "UPDATE position SET root = zeros(32)": ("root", 0),
    "UPDATE heads SET root = zeros(32) WHERE size = 200": ("heads", 0),
    "UPDATE agent_actions SET decision = 'ALLOW' WHERE decision_id = 'd2'": ("projections", 303),
    "DELETE FROM violations": ("projections", 306),
    "UPDATE agent_metrics SET compliant_runs = 2": ("projections", 0),
    "INSERT INTO runs VALUES ('default', 'run-x', 0, true)": ("projections", 0),
}


async def failed(book: Book, *heads: Checkpoint) -> dict[str, int]:
    return {each.name: each.sequence for each in (await book.audit(heads)).findings if not each.ok}


@pytest.mark.parametrize("edit", EDITS)
async def test_an_edit_is_named(book: Book, shelf: Shelf, edit: str) -> None:
    await book.append([*plains(300), *run(first=301)])
    await book.keep_head(SignedHead(Checkpoint("o", 200, root(plains(200))), "o\n", BEGIN))
    assert await failed(book) == {}
    assert await shelf.edit(edit)
    name, sequence = EDITS[edit]
    assert (await failed(book)).get(name) == sequence


async def test_a_leaf_edited_with_its_hash_is_named_by_its_tile(book: Book, shelf: Shelf) -> None:
    await book.append(plains(300))
    assert await shelf.edit("DELETE FROM events WHERE sequence = 99")
    await shelf.edit("INSERT INTO events VALUES ($1, $2, $3, $4, $5)", *row_of(plain(99, run="forged")))
    assert await failed(book) == {"tiles": 99, "root": 0, "indexes": 99}


async def test_a_cut_tail_is_shown_by_a_signed_head(book: Book) -> None:
    await book.append(plains(10))
    assert await failed(book, Checkpoint("o", 12, root(plains(12)))) == {"heads": 11}


async def test_a_book_that_does_not_add_up_is_not_written_on(shelf: Shelf) -> None:
    book = await shelf.open()
    await book.append(plains(300))
    await shelf.close()
    await shelf.edit("UPDATE position SET root = zeros(32)")
    with pytest.raises(LedgerDiverged, match="another root"):
        await shelf.open()


@pytest.mark.parametrize("table", ["events", "event_ids", "tiles", "postings", "spans", "heads"])
async def test_what_is_written_is_not_changed(book: Book, shelf: Shelf, table: str) -> None:
    await book.append(plains(300))
    await book.keep_head(SignedHead(Checkpoint("o", 200, root(plains(200))), "o\n", BEGIN))
    column = {"events": "subject", "event_ids": "key", "heads": "note"}.get(table, "root")
    column = {"postings": "members", "spans": "to_us"}.get(table, column)
    for statement in (f"UPDATE {table} SET {column} = {column}", f"DELETE FROM {table}"):
        assert f"{table} is append-only" in await shelf.refused(statement)
    assert await failed(book) == {}
