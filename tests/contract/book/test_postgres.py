"""What only the book in PostgreSQL can get wrong."""

import asyncio
import traceback
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from kernel.faults import Unavailable
from services.ledger.adapters.postgres import book as books
from services.ledger.adapters.postgres.book import PostgresBook
from services.ledger.adapters.postgres.connection import Database
from services.ledger.domain.checkpoint import Checkpoint
from services.ledger.domain.faults import LedgerDiverged
from services.ledger.domain.position import Position
from services.ledger.domain.questions import EventQuestion, Page
from services.ledger.domain.records import SignedHead
from services.ledger.wire.understanding import understand
from tests.contract.book.shelves import PostgresShelf, root
from tests.contract.book.tls import certificate, tls_door
from tests.fakes.postgres_server import PASSWORD, PostgresServer
from tests.unit.ledger.story import BEGIN, plains


@pytest_asyncio.fixture
async def shelf(postgres_url: str) -> AsyncIterator[PostgresShelf]:
    shelf = PostgresShelf(postgres_url)
    yield shelf
    await shelf.close()


@pytest_asyncio.fixture
async def book(shelf: PostgresShelf) -> PostgresBook:
    book = await shelf.open()
    assert isinstance(book, PostgresBook)
    return book


async def test_who_stands_by_waits_for_what_the_other_writes(shelf: PostgresShelf) -> None:
    one, other = await shelf.open(), await shelf.open()
    await one.append(plains(5))
    waiting = asyncio.create_task(other.append(plains(8)))
    assert await other.append(plains(3)) == Position(1, 5, root(plains(5)))
    assert not waiting.done()
    assert await one.append(plains(9)) == await waiting == Position(1, 9, root(plains(9)))
    with pytest.raises(Unavailable, match="another replica"):
        await other.beside()
    await one.close()
    assert await other.append(plains(12)) == Position(1, 12, root(plains(12)))
    assert (await other.append(plains(10))).last == 12


async def test_a_writer_that_stands_still_is_replaced_and_finds_out(
    shelf: PostgresShelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(books, "TAKE_OVER_SECONDS", 0.2)
    one, other = await shelf.open(), await shelf.open()
    await one.append(plains(5))
    assert await other.append(plains(8)) == Position(1, 8, root(plains(8)))  # `one` does nothing about them
    monkeypatch.setattr(books, "TAKE_OVER_SECONDS", 60)
    with suppress(Unavailable):  # or it has noticed already
        await one.append(plains(7))
    assert await one.append(plains(7)) == Position(1, 8, root(plains(8)))
    assert (await other.append(plains(9))).last == 9


async def test_a_writer_that_lost_its_lock_unawares_is_fenced(
    shelf: PostgresShelf, book: PostgresBook
) -> None:
    await book.append(plains(5))
    await shelf.edit("UPDATE position SET last_seq = 6")
    with pytest.raises(Exception, match="past sequence 5|does not fit") as refused:
        await book.append(plains(7))
    assert refused.value.reason == "APPEND_CONFLICT"  # type: ignore[attr-defined]
    await shelf.edit("UPDATE position SET last_seq = 5")
    assert await book.append(plains(7)) == Position(1, 7, root(plains(7)))


async def test_books_change_places_under_readers_and_a_writer(book: PostgresBook) -> None:
    story = plains(900)
    await book.append(story[:300])
    done = asyncio.Event()

    async def read() -> int:
        reads = 0
        while not done.is_set():
            listed = await book.events(EventQuestion("default", oldest_first=True), Page(500))
            found = [each.sequence for each in listed.rows]
            assert len(found) >= 300
            assert found == list(range(1, len(found) + 1))
            reads += 1
        return reads

    async def write() -> None:
        for n in range(301, 901, 5):
            await book.append(story[n - 1 : n + 4])

    reading = [asyncio.create_task(read()) for _ in range(3)]
    writing = asyncio.create_task(write())
    swaps = 0
    while not writing.done() or swaps < 3:
        draft = await book.beside()
        await draft.append(story[: (await book.position()).last])
        await draft.finish()
        # What was written since, and what is being written: refused rather than lost.
        await draft.append(story[: (await book.position()).last])
        try:
            await draft.publish()
            swaps += 1
        except Unavailable:
            assert (await draft.position()).last < (await book.position()).last
            await draft.discard()
    await writing
    done.set()
    assert sum(await asyncio.gather(*reading)) > 3
    assert await book.position() == Position(1, 900, root(story))
    assert all(each.ok for each in (await book.audit([])).findings)


async def test_a_draft_that_is_broken_off_is_gone_on_with(book: PostgresBook, shelf: PostgresShelf) -> None:
    draft = await book.beside()
    await draft.append(plains(600))
    await draft.finish()
    await draft.close()
    draft = await book.beside()
    assert await draft.position() == Position(1, 600, root(plains(600)))
    await draft.close()
    await shelf.edit("UPDATE provost_ledger_draft.position SET last_seq = 599")
    draft = await book.beside()
    assert await draft.position() == Position()
    await draft.close()


async def test_no_room_is_unavailable_and_leaves_nothing(book: PostgresBook, shelf: PostgresShelf) -> None:
    await book.append(plains(10))
    db = await shelf.connect()
    await db.execute(
        "CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$;"
        "CREATE TRIGGER no_room AFTER INSERT ON spans EXECUTE FUNCTION no_room()"
    )
    with pytest.raises(Unavailable, match="No space left on device .SQLSTATE 53100"):
        await book.append(plains(600))
    assert (await book.position()).last == 10
    assert len(await book.leaf_hashes(1, 600)) == 10
    await db.execute("DROP TRIGGER no_room ON spans")
    await db.close()
    assert await book.append(plains(600)) == Position(1, 600, root(plains(600)))


async def test_a_row_that_is_in_the_way_is_named(book: PostgresBook, shelf: PostgresShelf) -> None:
    await book.append(plains(10))
    await shelf.edit("INSERT INTO events VALUES (12, '', '', '', '')")
    with pytest.raises(LedgerDiverged, match=r"did not write.*\(sequence\)=\(12\)"):
        await book.append(plains(15))


async def test_another_version_is_made_anew_and_keeps_its_heads(
    shelf: PostgresShelf, book: PostgresBook
) -> None:
    await book.append(plains(10))
    head = SignedHead(Checkpoint("o", 10, root(plains(10))), "o\n", BEGIN)
    await book.keep_head(head)
    await shelf.close()
    db = await shelf.connect()
    await db.execute(
        "CREATE OR REPLACE FUNCTION provost_ledger_keeper.version() RETURNS text LANGUAGE sql AS $$ SELECT 'old' $$"
    )
    await db.close()
    again = await shelf.open()
    assert await again.position() == Position()
    assert list(await again.heads()) == [head]
    await again.append(plains(10))
    assert all(each.ok for each in (await again.audit([])).findings)


async def test_old_heads_are_thinned_and_others_cannot_go(book: PostgresBook, shelf: PostgresShelf) -> None:
    hours = [0, 0.2, 0.4, 1, 1.5, 30, 30.1, 31]
    for size, hour in enumerate(hours, 1):
        at = BEGIN + timedelta(hours=hour)
        await book.keep_head(SignedHead(Checkpoint("o", size, bytes(32)), "o\n", at))
    assert [each.checkpoint.size for each in await book.heads()] == [3, 5, 6, 7, 8]
    assert "append-only" in await shelf.refused("DELETE FROM heads WHERE size = 5")


async def test_triggers_cannot_be_told_to_look_away(book: PostgresBook, shelf: PostgresShelf) -> None:
    await book.append(plains(10))
    for statement in ("DELETE FROM events", "TRUNCATE events", "TRUNCATE heads"):
        said = await shelf.refused(f"SET session_replication_role = replica; {statement}")
        assert "append-only" in said


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ((PASSWORD, "wr0ng-password"), "password authentication failed"),
        (("/test_", "/no_such_"), "does not exist"),
        (("admin:", "nobody-known:"), "password authentication failed"),
        (("@127.0.0.1:", "@127.0.0.1:1"), "its URL"),
        (("postgresql://", "postgresql://x:y@"), "its URL"),
    ],
)
async def test_no_error_shows_the_password(postgres_url: str, change: tuple[str, str], why: str) -> None:
    book = PostgresBook(Database(postgres_url.replace(*change)), understand)
    with pytest.raises(Unavailable, match=why) as refused:
        await book.open()
    told = (
        "".join(traceback.format_exception(refused.value)) + repr(book._database) + repr(refused.value.facts)
    )
    assert PASSWORD not in told
    assert "wr0ng" not in told
    await book.close()


async def test_tls_is_asked_for_in_the_url(
    postgres_url: str, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    shown, key = certificate(tmp_path)
    async with tls_door(postgres_server.port, shown, key) as port:
        url = postgres_url.replace(f":{postgres_server.port}/", f":{port}/")
        book = PostgresBook(Database(f"{url}?sslmode=verify-full&sslrootcert={shown}"), understand)
        await book.open()
        assert (await book.append(plains(10))).last == 10
        await book.close()
        (tmp_path / "other").mkdir()
        stranger, _ = certificate(tmp_path / "other")
        book = PostgresBook(Database(f"{url}?sslmode=verify-full&sslrootcert={stranger}"), understand)
        with pytest.raises(Unavailable, match="certificate"):
            await book.open()
        await book.close()
    refused = PostgresBook(Database(f"{postgres_url}?sslmode=require"), understand)
    with pytest.raises(Unavailable, match="SSL"):
        await refused.open()
    await refused.close()


async def test_a_server_that_goes_and_comes_back_is_found_again(
    book: PostgresBook, shelf: PostgresShelf
) -> None:
    await book.append(plains(10))
    db = await shelf.connect()
    ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'provost-ledger'"
    await db.fetch(ended)
    assert len(await book.leaf_hashes(1, 10)) == 10
    with suppress(Unavailable):  # or it has noticed already
        await book.append(plains(12))
    assert (await book.append(plains(12))).last == 12
    await db.close()


def test_a_database_is_called_by_host_and_name_alone() -> None:
    assert Database("postgresql://u:p@h:5/d?sslmode=require").name == "h:5/d"
    assert "p@" not in repr(Database("postgresql://u:p@h:5/d"))
