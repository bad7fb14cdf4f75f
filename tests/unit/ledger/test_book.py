"""What only SQLite can get wrong; what any book owes is in tests/contract/book."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernel.faults import Unavailable
from services.ledger.adapters.sqlite import book as sqlite_book
from services.ledger.adapters.sqlite.book import SqliteBook
from services.ledger.adapters.sqlite.writer import Writer
from services.ledger.domain import tree
from services.ledger.domain.checkpoint import Checkpoint
from services.ledger.domain.entry import Message, entry_of
from services.ledger.domain.faults import LedgerDiverged, WriterFenced
from services.ledger.domain.position import Position
from services.ledger.domain.questions import (
    EventQuestion,
    Page,
)
from services.ledger.domain.records import SignedHead
from services.ledger.wire.understanding import understand
from tests.unit.ledger.story import BEGIN, opened, plains, run


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger" / "ledger.db"


@pytest.fixture
async def book(path: Path) -> AsyncIterator[SqliteBook]:
    book = await opened(path)
    yield book
    await book.close()


def root(messages: list[Message]) -> bytes:
    frontier, _ = tree.grow(tree.Frontier(), [entry_of(each).leaf_hash for each in messages])
    return tree.root_of(frontier)


@given(st.lists(st.tuples(st.text(max_size=10), st.binary(max_size=40), st.binary(max_size=60)), max_size=5))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_message_stops_it(tmp_path: Path, poison: list[tuple[str, bytes, bytes]]) -> None:
    file = tmp_path / "poison.db"
    for suffix in ("", "-wal", "-shm"):
        file.with_name(file.name + suffix).unlink(missing_ok=True)
    writer = Writer(file, understand)
    known = run()
    messages = [
        Message(
            n,
            known[n % len(known)].subject if n % 2 else subject,
            known[n % len(known)].header + header,
            payload,
        )
        for n, (subject, header, payload) in enumerate(poison, 1)
    ]
    assert writer.append(messages).size == len(messages)
    writer.close()


async def test_of_two_writers_only_one_gets_through(path: Path) -> None:
    one, other = await opened(path), await opened(path)
    await one.append(plains(5))
    with pytest.raises(WriterFenced):
        await other.append(plains(3))
    position = await other.append(plains(8))
    assert position == Position(1, 8, root(plains(8)))
    with pytest.raises(WriterFenced):
        await one.append(plains(7))
    assert await one.append(plains(9)) == Position(1, 9, root(plains(9)))
    await one.close()
    await other.close()


async def test_a_draft_takes_the_books_place(book: SqliteBook, path: Path) -> None:
    await book.append(plains(30))
    draft = await book.beside()
    await draft.append(plains(25))
    await draft.finish()
    position = await draft.append(plains(40))
    await book.append(plains(35))
    await draft.publish()
    await draft.discard()
    assert await book.position() == position == Position(1, 40, root(plains(40)))
    assert (await book.append(plains(45))).last == 45
    assert len((await book.events(EventQuestion("default"), Page(100))).rows) == 45
    assert all(each.ok for each in (await book.audit([])).findings)
    assert sorted(each.name for each in path.parent.iterdir()) == [
        "ledger.db",
        "ledger.db-shm",
        "ledger.db-wal",
    ]
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


async def test_audits_take_nobodys_time(book: SqliteBook, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor that of whoever reads, nor of a draft; and they are over when nobody waits for them any more."""
    loop = asyncio.get_running_loop()
    began: asyncio.Queue[None] = asyncio.Queue()

    def long(db: sqlite3.Connection, *_: object) -> None:
        loop.call_soon_threadsafe(began.put_nowait, None)
        db.execute(
            "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 100000000) SELECT max(x) FROM n"
        ).fetchall()

    await book.append(plains(30))
    draft = await book.beside()
    await draft.append(plains(40))
    await draft.finish()
    with monkeypatch.context() as patched:
        patched.setattr(sqlite_book, "audit", long)
        asked = [asyncio.create_task(book.audit([])) for _ in range(4)]
        async with asyncio.timeout(5):
            await began.get()
            assert len(await book.rows(1, 9)) == 9
            await draft.publish()
            assert (await book.append(plains(45))).last == 45
            await began.get()
            assert began.empty()  # one at a time, in the new book now
            for each in asked:
                each.cancel()
            await asyncio.wait(asked)
    async with asyncio.timeout(5):
        assert all(each.ok for each in (await book.audit([])).findings)


async def test_a_discarded_draft_leaves_nothing(book: SqliteBook, path: Path) -> None:
    await book.append(plains(5))
    draft = await book.beside()
    await draft.append(plains(3))
    await draft.discard()
    assert not path.with_name("ledger.db.draft").exists()
    assert (await book.position()).last == 5


async def test_rows_and_tiles_are_append_only(book: SqliteBook, path: Path) -> None:
    await book.append(plains(300))
    await book.keep_head(SignedHead(Checkpoint("o", 200, root(plains(200))), "o\n", BEGIN))
    db = sqlite3.connect(path, isolation_level=None)
    for statement in (
        "UPDATE events SET subject = 'evt' WHERE sequence = 7",
        "DELETE FROM events WHERE sequence = 7",
        "INSERT OR REPLACE INTO events SELECT * FROM events WHERE sequence = 7",
        "REPLACE INTO events SELECT * FROM events WHERE sequence = 7",
        "INSERT INTO events SELECT * FROM events WHERE true ON CONFLICT DO UPDATE SET payload = x''",
        "UPDATE OR REPLACE events SET sequence = 8 WHERE sequence = 7",
        "UPDATE tiles SET root = x''",
        "DELETE FROM tiles",
        "INSERT OR REPLACE INTO tiles SELECT * FROM tiles",
        "REPLACE INTO postings SELECT term, block, x'00' FROM postings",
        "REPLACE INTO spans SELECT block, 0, 0 FROM spans",
        "REPLACE INTO heads SELECT size, root, 'another', at_us FROM heads",
        "UPDATE heads SET note = 'another'",
        "DELETE FROM heads",
        "UPDATE event_ids SET key = 0",
        "DELETE FROM event_ids",
    ):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            db.execute(statement)
    db.close()


async def test_old_heads_are_thinned_and_no_others(book: SqliteBook, path: Path) -> None:
    def head(minutes: int) -> SignedHead:
        return SignedHead(Checkpoint("o", minutes + 1, bytes(32)), "o\n", BEGIN + timedelta(minutes=minutes))

    # Three days, a head every ten minutes.
    for minutes in range(0, 3 * 24 * 60, 10):
        await book.keep_head(head(minutes))
    kept = [each.at for each in await book.heads()]
    newest = kept[-1]
    assert newest is not None
    day = [each for each in kept if each is not None and each >= newest - timedelta(days=1)]
    before = [each for each in kept if each is not None and each < newest - timedelta(days=1)]
    assert len(day) == 24 * 6 + 1
    # One an hour; the hour that is just leaving the last day is still whole or thinned with the next.
    assert 47 <= len({(each.date(), each.hour) for each in before}) <= len(before) <= 48 + 5
    assert all(each.minute == 50 for each in before[:-6])
    assert (await book.heads())[0].checkpoint.size == 51
    db = sqlite3.connect(path, isolation_level=None)
    for statement in ("DELETE FROM heads WHERE size = 51", f"DELETE FROM heads WHERE size > {60 * 70}"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            db.execute(statement)
    db.close()


async def test_a_database_of_another_version_is_put_aside_and_its_heads_are_kept(path: Path) -> None:
    book = await opened(path)
    await book.append(plains(30))
    head = SignedHead(Checkpoint("o", 20, root(plains(20))), "o\nnote", BEGIN)
    await book.keep_head(head)
    await book.close()
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA user_version = 1")
    db.close()
    book = await opened(path)
    assert await book.position() == Position()
    assert list(await book.heads()) == [head]
    assert await book.append(plains(30)) == Position(1, 30, root(plains(30)))
    await book.close()
    assert path.with_name("ledger.db.v1").exists()


async def test_a_full_disk_leaves_no_partial_batch_and_is_survived(book: SqliteBook, path: Path) -> None:
    await book.append(plains(100))
    db = await book._write(lambda writer: writer._db)
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    await book._write(lambda writer: writer.execute(f"PRAGMA max_page_count = {pages + 20}"))
    with pytest.raises(Unavailable, match="full"):
        await book.append(plains(2000))
    assert (await book.position()).last == 100
    assert len(await book.leaf_hashes(1, 2000)) == 100
    await book._write(lambda writer: writer.execute("PRAGMA max_page_count = 1000000"))
    assert await book.append(plains(2000)) == Position(1, 2000, root(plains(2000)))
    assert all(each.ok for each in (await book.audit([])).findings)


async def test_a_damaged_database_says_what_to_do(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"this is no database, but it is long enough to be looked at as one" * 100)
    book = SqliteBook(path, understand)
    with pytest.raises(LedgerDiverged, match="move it away"):
        await book.open()
