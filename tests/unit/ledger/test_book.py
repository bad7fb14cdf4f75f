"""What any book owes the ledger, held against the SQLite one; and what only SQLite can get wrong."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernel.faults import Unavailable
from services.ledger.adapters.sqlite.book import SqliteBook
from services.ledger.adapters.sqlite.writer import Writer
from services.ledger.domain import tree
from services.ledger.domain.checkpoint import Checkpoint
from services.ledger.domain.entry import Message, entry_of, row_of
from services.ledger.domain.faults import LedgerDiverged, WriterFenced
from services.ledger.domain.position import Position
from services.ledger.domain.proofs import Range, range_root, slices
from services.ledger.domain.questions import (
    ActionQuestion,
    AgentQuestion,
    EventQuestion,
    Page,
    ViolationQuestion,
)
from services.ledger.domain.records import SignedHead
from services.ledger.wire.understanding import understand
from tests.unit.ledger.story import BEGIN, opened, plain, plains, run


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


async def test_a_new_book_is_empty(book: SqliteBook) -> None:
    assert await book.position() == Position()
    assert await book.event("default", "nothing") is None
    assert (await book.events(EventQuestion("default"), Page(10))).rows == ()
    assert list(await book.heads()) == []
    assert all(each.ok for each in (await book.audit([])).findings)


async def test_what_is_appended_is_there_and_is_a_tree(book: SqliteBook) -> None:
    messages = plains(700)
    for begin, end in ((0, 1), (1, 300), (300, 700)):
        position = await book.append(messages[begin:end])
    assert position == await book.position() == Position(1, 700, root(messages))
    for size in (1, 255, 256, 257, 512, 700):
        hashes = await book.hashes(slices(Range(0, size)))
        assert range_root(hashes) == root(messages[:size]), size
    entry = entry_of(messages[300])
    assert await book.event("default", entry.event_id) == entry
    assert await book.event("acme", entry.event_id) is None
    assert await book.leaf_hashes(301, 301) == [(301, entry.leaf_hash)]
    assert await book.rows(301, 302) == [entry, entry_of(messages[301])]
    assert await book.rows(701, 900) == []
    assert await book.leaf_hashes(700, 900) == [(700, entry_of(messages[699]).leaf_hash)]
    assert all(each.ok for each in (await book.audit([])).findings)


async def test_it_may_begin_anywhere_but_never_leaves_a_gap(book: SqliteBook) -> None:
    await book.append(plains(3, first=41))
    assert (await book.position()).first == 41
    for wrong in (plains(1, first=45), [plain(44), plain(46)], [plain(45), plain(44)]):
        with pytest.raises(LedgerDiverged):
            await book.append(wrong)
    assert (await book.position()).last == 43
    await book.append(plains(5, first=40))
    assert (await book.position()).last == 44


async def test_appending_again_changes_nothing(book: SqliteBook) -> None:
    messages = plains(20)
    position = await book.append(messages)
    assert (
        await book.append(messages) == await book.append(messages[5:10]) == await book.append([]) == position
    )
    listed = await book.events(EventQuestion("default"), Page(100))
    assert [each.sequence for each in listed.rows] == list(range(20, 0, -1))


async def test_a_repeated_message_is_a_leaf_and_no_second_action(book: SqliteBook) -> None:
    story = run()
    again = [
        Message(len(story) + 1 + n, each.subject, each.header, each.payload) for n, each in enumerate(story)
    ]
    await book.append([*story, *again])
    assert (await book.position()).size == 2 * len(story)
    assert len((await book.actions(ActionQuestion("default"), Page(10))).rows) == 2
    assert len((await book.violations(ViolationQuestion("default"), Page(10))).rows) == 1
    (agent,) = (await book.agents(AgentQuestion("default"), Page(10))).rows
    assert agent.total_runs == 1
    first = entry_of(story[0])
    assert await book.event("default", first.event_id) == first
    assert all(each.ok for each in (await book.audit([])).findings)


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


async def test_lists_are_filtered_paged_and_kept_apart(book: SqliteBook) -> None:
    mixed = [plain(n, tenant="acme" if n % 3 == 0 else "default", run=f"run-{n % 4}") for n in range(1, 121)]
    await book.append(mixed)

    async def sequences(question: EventQuestion, size: int) -> list[int]:
        found, page = [], Page(size)
        while True:
            listed = await book.events(question, page)
            assert len(listed.rows) <= size
            found += [each.sequence for each in listed.rows]
            if listed.end is None:
                return found
            page = Page(size, listed.end)

    ours = [n for n in range(1, 121) if n % 3]
    for size in (1, 7, 80, 500):
        assert await sequences(EventQuestion("default"), size) == ours[::-1]
    assert await sequences(EventQuestion("default", oldest_first=True), 9) == ours
    assert await sequences(EventQuestion("acme"), 50) == list(range(120, 0, -3))
    run_two = [n for n in ours if n % 4 == 2][::-1]
    for question in (
        EventQuestion("default", correlation_id="run-2"),
        EventQuestion("default", aggregate_id="run-2"),
        EventQuestion("default", aggregate_id="run-2", context="orchestrator", aggregate="run"),
        EventQuestion("default", correlation_id="run-2", event_type="RunPhaseEntered", actor="service:tests"),
    ):
        assert await sequences(question, 5) == run_two
    first = entry_of(mixed[0]).at_us
    assert first is not None
    timed = EventQuestion("default", from_us=first + 10_000_000, to_us=first + 20_000_000)
    assert await sequences(timed, 4) == [n for n in range(20, 10, -1) if n % 3]
    for nothing in (EventQuestion("default", context="policy"), EventQuestion("other"), EventQuestion("")):
        assert await sequences(nothing, 5) == []


async def test_actions_agents_and_violations_are_asked_for(book: SqliteBook) -> None:
    await book.append([*run(), *run("acme", first=10)])
    both = (await book.actions(ActionQuestion("default"), Page(10))).rows
    assert [each.decision_id for each in both] == ["d2", "d1"]
    first = await book.actions(ActionQuestion("default"), Page(1))
    assert first.end == (3, 1)
    assert [
        each.decision_id for each in (await book.actions(ActionQuestion("default"), Page(1, first.end))).rows
    ] == ["d1"]
    for question in (
        ActionQuestion("default", agent_id="sre-1", decision="ALLOW"),
        ActionQuestion(
            "acme", run_id="run-1", task_id="task-1", action="diagnostics.memory", decision="ALLOW"
        ),
    ):
        (row,) = (await book.actions(question, Page(10))).rows
        assert (row.decision_id, row.success, row.tenant) == ("d1", True, question.tenant)
    assert (await book.actions(ActionQuestion("default", agent_id="sre-2"), Page(10))).rows == ()
    (agent,) = (await book.agents(AgentQuestion("acme"), Page(10))).rows
    assert (agent.agent_id, agent.total_runs, agent.revoked) == ("sre-1", 1, True)
    assert (await book.agents(AgentQuestion("acme"), Page(10, ("sre-1",)))).rows == ()
    assert len((await book.violations(ViolationQuestion("acme", "sre-1"), Page(10))).rows) == 1
    assert (await book.violations(ViolationQuestion("acme", "sre-2"), Page(10))).rows == ()


async def test_a_page_ends_before_it_outgrows_an_answer(book: SqliteBook) -> None:
    heavy = [Message(n, each.subject, each.header, b"x" * 300_000) for n, each in enumerate(plains(8), 1)]
    await book.append(heavy)
    listed = await book.events(EventQuestion("default"), Page(8))
    assert (len(listed.rows), listed.end) == (3, (6,))


async def test_it_is_there_after_closing_and_opening(path: Path) -> None:
    messages = plains(600)
    book = await opened(path)
    position = await book.append(messages)
    await book.close()
    book = await opened(path)
    assert await book.position() == position
    more = plains(10, first=601)
    assert (await book.append(more)).root == root([*messages, *more])
    await book.close()


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


async def test_heads_are_remembered_once(book: SqliteBook) -> None:
    small, large = (SignedHead(Checkpoint("o", size, bytes(32)), "o\nnote", BEGIN) for size in (3, 9))
    for head in (large, small, SignedHead(small.checkpoint, "o\nanother", BEGIN)):
        await book.keep_head(head)
    assert list(await book.heads()) == [small, large]


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


async def test_reading_goes_on_while_a_draft_takes_the_place(book: SqliteBook) -> None:
    await book.append(plains(50))
    draft = await book.beside()
    await draft.append(plains(50))
    await draft.finish()
    reads = [asyncio.create_task(book.events(EventQuestion("default"), Page(100))) for _ in range(20)]
    await draft.publish()
    assert {len(listed.rows) for listed in await asyncio.gather(*reads)} == {50}


async def test_a_discarded_draft_leaves_nothing(book: SqliteBook, path: Path) -> None:
    await book.append(plains(5))
    draft = await book.beside()
    await draft.append(plains(3))
    await draft.discard()
    assert not path.with_name("ledger.db.draft").exists()
    assert (await book.position()).last == 5


async def test_rows_and_tiles_are_append_only(book: SqliteBook, path: Path) -> None:
    await book.append(plains(300))
    db = sqlite3.connect(path, isolation_level=None)
    for statement in (
        "UPDATE events SET subject = 'evt' WHERE sequence = 7",
        "DELETE FROM events WHERE sequence = 7",
        "INSERT OR REPLACE INTO events SELECT * FROM events WHERE sequence = 7",
        "UPDATE tiles SET root = x''",
        "DELETE FROM tiles",
        "INSERT OR REPLACE INTO tiles SELECT * FROM tiles",
    ):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            db.execute(statement)
    db.close()


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


EDITS = {
    "UPDATE events SET header = CAST(replace(header, 'service', 'mallory') AS BLOB) WHERE sequence = 123": (
        "leaves",
        123,
    ),
    "DELETE FROM event_ids WHERE sequence = 17": ("indexes", 17),
    "UPDATE event_ids SET key = key + 1 WHERE sequence = 17": ("indexes", 17),
    "INSERT INTO event_ids VALUES (7, 300)": ("indexes", 300),
    "DELETE FROM postings": ("indexes", 1),
    "UPDATE postings SET members = x'01'": ("indexes", 1),
    "UPDATE spans SET to_us = from_us": ("indexes", 1),
    "UPDATE events SET payload = x'00' WHERE sequence = 280": ("leaves", 280),
    "UPDATE events SET header = x'00', leaf_hash = zeroblob(32) WHERE sequence = 5": ("leaves", 5),
    "UPDATE events SET subject = 'evt.default.a.b.c.D' WHERE sequence = 299": ("leaves", 299),
    "DELETE FROM events WHERE sequence = 77": ("continuity", 77),
    "UPDATE events SET sequence = 1000 WHERE sequence = 300": ("continuity", 300),
    "DELETE FROM events WHERE sequence > 290": ("continuity", 291),
    "UPDATE tiles SET hashes = zeroblob(8192)": ("tiles", 1),
    "UPDATE tiles SET root = zeroblob(32)": ("tiles", 1),
    "DELETE FROM tiles": ("tiles", 1),
    "UPDATE position SET root = zeroblob(32)": ("root", 0),
    "UPDATE heads SET root = zeroblob(32) WHERE size = 200": ("heads", 0),
    "UPDATE agent_actions SET decision = 'ALLOW' WHERE decision_id = 'd2'": ("projections", 303),
    "DELETE FROM violations": ("projections", 306),
    "UPDATE agent_metrics SET compliant_runs = 2": ("projections", 0),
    "INSERT INTO runs VALUES ('default', 'run-x', 0, 1)": ("projections", 0),
}


@pytest.mark.parametrize("edit", EDITS)
async def test_an_edit_is_named(book: SqliteBook, path: Path, edit: str) -> None:
    await book.append([*plains(300), *run(first=301)])
    await book.keep_head(SignedHead(Checkpoint("o", 200, root(plains(200))), "o\n", BEGIN))
    db = sqlite3.connect(path, isolation_level=None)
    for (trigger,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        db.execute(f"DROP TRIGGER {trigger}")
    assert all(each.ok for each in (await book.audit([])).findings)
    assert db.execute(edit).rowcount
    db.close()
    failed = {each.name: each.sequence for each in (await book.audit([])).findings if not each.ok}
    name, sequence = EDITS[edit]
    assert failed[name] == sequence, failed


async def test_a_leaf_edited_with_its_hash_is_named_by_its_tile(book: SqliteBook, path: Path) -> None:
    await book.append(plains(300))
    forged = row_of(plain(99, run="forged"))
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("DROP TRIGGER events_no_DELETE")
    db.execute("DELETE FROM events WHERE sequence = 99")
    db.execute(f"INSERT INTO events VALUES ({', '.join('?' * len(forged))})", forged)
    db.close()
    failed = {each.name: each.sequence for each in (await book.audit([])).findings if not each.ok}
    assert failed == {"tiles": 99, "root": 0, "indexes": 99}


async def test_a_cut_tail_is_shown_by_a_signed_head(book: SqliteBook) -> None:
    await book.append(plains(10))
    signed = Checkpoint("o", 12, root(plains(12)))
    failed = {each.name: each.sequence for each in (await book.audit([signed])).findings if not each.ok}
    assert failed == {"heads": 11}


async def test_a_book_that_does_not_add_up_is_not_opened(path: Path) -> None:
    book = await opened(path)
    await book.append(plains(300))
    await book.close()
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("UPDATE position SET root = zeroblob(32)")
    db.close()
    with pytest.raises(LedgerDiverged, match="another root"):
        await opened(path)
