"""The ledger over a log in a list: it proves, refuses to fork, notices a log that went back, and rebuilds."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest

from kernel.faults import Refused
from services.ledger.domain import proofs
from services.ledger.domain.entry import Message, entry_of
from services.ledger.domain.faults import (
    EventUnknown,
    LedgerBehind,
    LedgerDiverged,
    StreamRegression,
    TreeSizeOutOfRange,
)
from services.ledger.domain.records import Progress
from tests.unit.ledger.fakes import Bench, ListedLog
from tests.unit.ledger.story import BEGIN, plain, plains, run


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = await Bench(tmp_path, ListedLog([*plains(300), *run(first=301)])).start()
    await bench.ledger.begin()
    yield bench
    await bench.book.close()


async def leave_draft(bench: Bench, messages: Sequence[Message]) -> None:
    """What a rebuild that was broken off leaves behind it."""
    draft = await bench.book.beside()
    await draft.append(messages)
    assert (await draft.position()).size == len(messages)  # written, and not only on its way
    await draft.close()


async def test_heads_are_signed_as_the_tree_grows_and_prove_each_other(bench: Bench) -> None:
    ledger = bench.ledger
    assert await ledger.sign(BEGIN) is None
    heads = []
    for end in (1, 100, 309):
        await ledger.take(bench.log.messages[:end])
        head = await ledger.sign(BEGIN)
        assert head is not None
        assert head == await ledger.proving.tree_head() == await ledger.proving.tree_head(end)
        heads.append(head.checkpoint)
    assert await ledger.sign(BEGIN) == bench.signer.last
    assert [each.checkpoint for each in await bench.book.heads()] == heads
    for old, new in pairwise(heads):
        path, size = await ledger.proving.consistency(old.size, new.size)
        assert size == new.size
        assert proofs.consistent(old=old.size, new=new.size, path=path, old_root=old.root, new_root=new.root)
    path, size = await ledger.proving.consistency(100, 0)
    assert size == 309
    for wrong in ((0, 0), (310, 0), (5, 310), (9, 5)):
        with pytest.raises(TreeSizeOutOfRange):
            await ledger.proving.consistency(*wrong)


async def test_an_event_is_proved_to_be_in_the_tree(bench: Bench) -> None:
    await bench.catch_up()
    await bench.ledger.sign(BEGIN)
    for message in (bench.log.messages[0], bench.log.messages[256], bench.log.messages[308]):
        entry = entry_of(message)
        for size in (0, 309, max(entry.sequence, 280)):
            proof = await bench.ledger.proving.inclusion("default", entry.event_id, size)
            head = proof.head.checkpoint
            assert head.size == (size or 309)
            assert bool(proof.head.note) is (head.size == 309)
            assert proofs.includes(
                leaf=entry.leaf_hash, index=proof.leaf_index, size=head.size, path=proof.path, root=head.root
            )
    last = entry_of(bench.log.messages[-1])
    for size in (308, 310):
        with pytest.raises(TreeSizeOutOfRange):
            await bench.ledger.proving.inclusion("default", last.event_id, size)
    for tenant, event_id in (("acme", last.event_id), ("default", "nothing"), ("default", "")):
        with pytest.raises(EventUnknown):
            await bench.ledger.proving.inclusion(tenant, event_id, 0)


async def test_waiting_ends_when_it_is_there_or_time_is_up(bench: Bench) -> None:
    waiting = asyncio.create_task(bench.ledger.wait(50, 5.0))
    head = asyncio.create_task(bench.ledger.proving.tree_head(60))
    await bench.ledger.take(bench.log.messages[:60])
    assert await waiting == 60
    await bench.ledger.sign(BEGIN)
    assert (await head).checkpoint.size == 60
    with pytest.raises(LedgerBehind, match="has reached sequence 60, not yet 61"):
        await bench.ledger.wait(61, 0.01)


async def test_without_its_database_it_comes_back_with_the_same_root(bench: Bench) -> None:
    await bench.catch_up()
    head = await bench.ledger.sign(BEGIN)
    await bench.wipe()
    await bench.ledger.begin()
    assert bench.ledger.position.size == 0
    await bench.ledger.take(bench.log.messages[:200])
    assert await bench.ledger.sign(BEGIN) is None
    await bench.catch_up()
    assert await bench.ledger.sign(BEGIN) == bench.signer.last
    assert (await bench.ledger.proving.tree_head()).checkpoint == head.checkpoint  # type: ignore[union-attr]
    assert (await bench.ledger.verify(against_log=True)).ok


async def test_another_history_is_not_signed(bench: Bench) -> None:
    await bench.catch_up()
    await bench.ledger.sign(BEGIN)
    await bench.wipe()
    bench.log.messages[120] = plain(121, run="forged")
    bench.log.messages.append(plain(310))
    await bench.ledger.begin()
    await bench.catch_up()
    with pytest.raises(LedgerDiverged, match="not proved to begin with the signed one of 309"):
        await bench.ledger.sign(BEGIN)


async def test_a_log_that_lost_its_tail_is_noticed(bench: Bench) -> None:
    await bench.catch_up()
    await bench.ledger.sign(BEGIN)
    del bench.log.messages[250:]
    await bench.restart()
    with pytest.raises(StreamRegression, match="the first event missing is 251") as caught:
        await bench.ledger.begin()
    assert caught.value.facts["sequence"] == "251"
    assert bench.ledger.diverged is caught.value
    for refused in (
        bench.ledger.take(plains(1, first=310)),
        bench.ledger.sign(BEGIN),
        bench.ledger.proving.tree_head(),
    ):
        with pytest.raises(StreamRegression):
            await refused
    verdict = await bench.ledger.verify(against_log=True)
    assert {each.name: each.sequence for each in verdict.findings if not each.ok} == {
        "log": 251,
        "following": 251,
    }
    assert verdict.first_bad_sequence == 251


async def test_the_lost_tail_is_noticed_without_a_database_too(bench: Bench) -> None:
    await bench.catch_up()
    await bench.ledger.sign(BEGIN)
    del bench.log.messages[250:]
    await bench.wipe()
    with pytest.raises(StreamRegression, match="the first one missing is 251"):
        await bench.ledger.begin()


@pytest.mark.parametrize("regrown", [300, 309, 500])
async def test_a_log_that_went_back_and_on_again_is_noticed(bench: Bench, regrown: int) -> None:
    await bench.catch_up()
    bench.log.messages[222:] = [plain(n, run="other") for n in range(223, regrown + 1)]
    await bench.restart()
    with pytest.raises(LedgerDiverged, match="event 223 of the log is not the one") as caught:
        await bench.ledger.begin()
    assert caught.value.facts["sequence"] == "223"


async def test_a_log_that_lost_its_beginning_is_noticed(bench: Bench) -> None:
    await bench.ledger.take(bench.log.messages[:50])
    del bench.log.messages[:60]
    await bench.restart()
    with pytest.raises(StreamRegression, match="begins at 61, .* the first event missing is 1$"):
        await bench.ledger.begin()


async def test_verification_names_one_changed_message_of_the_log(bench: Bench) -> None:
    await bench.catch_up()
    await bench.ledger.sign(BEGIN)
    verdict = await bench.ledger.verify(against_log=True)
    names = {"continuity", "leaves", "tiles", "root", "heads", "projections", "signatures", "log", "scrubber"}
    assert verdict.ok
    assert {each.name for each in verdict.findings} >= names
    assert verdict.head == bench.signer.last
    bench.log.messages[41] = plain(42, run="forged")
    assert (await bench.ledger.verify(against_log=False)).ok
    verdict = await bench.ledger.verify(against_log=True)
    assert {each.name: each.sequence for each in verdict.findings if not each.ok} == {"log": 42}


async def test_rebuilding_gives_the_same_and_takes_its_place(bench: Bench) -> None:
    await bench.ledger.take(bench.log.messages[:200])
    await bench.ledger.sign(BEGIN)
    await bench.catch_up()
    head = await bench.ledger.sign(BEGIN)
    reports = [each async for each in bench.ledger.rebuild()]
    assert reports[0] == Progress(0, 309)
    assert head is not None
    root = head.checkpoint.root
    assert reports[-1] == Progress(309, 309, True, root, True, "agrees with 2 signed heads")
    assert await bench.book.position() == bench.ledger.position
    assert [each.checkpoint.size for each in await bench.book.heads()] == [200, 309]
    bench.log.messages.append(plain(310))
    await bench.catch_up()
    await bench.ledger.sign(BEGIN)
    assert (await bench.ledger.verify(against_log=True)).ok


async def test_events_kept_while_it_is_rebuilt_are_not_lost(bench: Bench) -> None:
    await bench.ledger.take(bench.log.messages[:100])
    reports = []
    async for report in bench.ledger.rebuild():
        reports.append(report)
        if len(reports) == 1:
            with pytest.raises(Refused, match="a rebuild is going on"):
                await anext(bench.ledger.rebuild())
            bench.log.messages.append(plain(310))
            await bench.catch_up()
    assert reports[-1].swapped
    assert bench.ledger.position.last == 310
    assert (await bench.ledger.verify(against_log=True)).ok


async def test_a_rebuild_that_a_signed_head_contradicts_stays_out(bench: Bench) -> None:
    await bench.catch_up()
    await bench.ledger.sign(BEGIN)
    bench.log.messages[41] = plain(42, run="forged")
    *_, last = [each async for each in bench.ledger.rebuild()]
    assert (last.done, last.swapped) == (True, False)
    assert "another root than the one that was signed" in last.detail
    assert (await bench.ledger.verify(against_log=False)).ok
    assert not bench.database.with_name("ledger.db.draft").exists()
    bench.log.messages[40:] = []
    with pytest.raises(StreamRegression):
        [each async for each in bench.ledger.rebuild()]


async def test_a_rebuild_that_is_given_up_goes_on_where_it_was(bench: Bench) -> None:
    await bench.catch_up()
    reports = bench.ledger.rebuild()
    assert (await anext(reports)).events == 0
    await reports.aclose()
    assert (await bench.ledger.verify(against_log=True)).ok
    await leave_draft(bench, bench.log.messages[:200])
    await bench.restart()
    await bench.ledger.begin()
    reports = bench.ledger.rebuild()
    assert (await anext(reports)).events == 200
    assert [each async for each in reports][-1].swapped
    assert (await bench.ledger.verify(against_log=True)).ok
    assert not bench.database.with_name("ledger.db.draft").exists()


async def test_a_draft_of_another_log_is_begun_anew(bench: Bench) -> None:
    await bench.catch_up()
    await leave_draft(bench, [*bench.log.messages[:99], plain(100, run="another")])
    reports = [each async for each in bench.ledger.rebuild()]
    assert (reports[0].events, reports[-1].swapped) == (0, True)
    await leave_draft(bench, bench.log.messages[:100])
    for file in bench.home.glob("ledger.db.draft*"):
        file.write_bytes(b"no database" * 500)
    reports = [each async for each in bench.ledger.rebuild()]
    assert (reports[0].events, reports[-1].swapped) == (0, True)
    assert (await bench.ledger.verify(against_log=True)).ok


async def test_a_draft_that_the_machine_did_not_live_through_is_begun_anew(bench: Bench) -> None:
    await bench.catch_up()
    await leave_draft(bench, bench.log.messages[:100])
    with closing(sqlite3.connect(bench.database.with_name("ledger.db.draft"))) as db:
        ((start,),) = db.execute("PRAGMA application_id").fetchall()
        db.execute(f"PRAGMA application_id = {start ^ 1}")
    reports = [each async for each in bench.ledger.rebuild()]
    assert (reports[0].events, reports[-1].swapped) == (0, True)


async def test_a_rebuild_that_is_refused_leaves_nothing(bench: Bench) -> None:
    await bench.catch_up()
    await bench.ledger.sign(BEGIN)
    bench.log.messages = [*plains(9), plain(10, run="another"), *bench.log.messages[10:]]
    last = [each async for each in bench.ledger.rebuild()][-1]
    assert (last.done, last.swapped) == (True, False)
    assert "another root" in last.detail
    assert not list(bench.home.glob("ledger.db.draft*"))


@pytest.mark.parametrize(
    ("damage", "first"),
    [
        ("DELETE FROM events WHERE sequence > 305", "306"),
        ("DELETE FROM position", None),
        ("UPDATE position SET last_seq = 100000", "310"),
        ("DELETE FROM tiles", "1"),
    ],
)
async def test_a_book_that_cannot_be_opened_is_rebuilt_all_the_same(
    bench: Bench, damage: str, first: str | None
) -> None:
    await bench.catch_up()
    head = await bench.ledger.sign(BEGIN)
    await bench.book.close()
    with closing(sqlite3.connect(bench.database, isolation_level=None)) as db:
        for (trigger,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            db.execute(f'DROP TRIGGER "{trigger}"')
        db.execute(damage)
    bench.make()
    with pytest.raises(LedgerDiverged) as caught:
        await bench.ledger.begin()
    located = await bench.ledger.locate(caught.value)
    assert located.facts.get("sequence") == first
    assert [each async for each in bench.ledger.rebuild()][-1].swapped
    await bench.ledger.begin()
    assert head is not None
    assert (await bench.ledger.proving.tree_head()).checkpoint == head.checkpoint
    assert (await bench.ledger.verify(against_log=True)).ok


async def test_a_head_file_that_was_touched_stops_everything_but_reading(bench: Bench) -> None:
    await bench.catch_up()
    await bench.ledger.sign(BEGIN)
    head = bench.home / "signer" / "head"
    head.write_text(head.read_text().replace("309", "308"))
    await bench.restart()
    with pytest.raises(LedgerDiverged, match="does not verify"):
        await bench.ledger.begin()
    verdict = await bench.ledger.verify(against_log=True)
    assert {each.name for each in verdict.findings if not each.ok} == {"signer", "following"}


async def test_a_damaged_database_stops_everything(bench: Bench) -> None:
    await bench.catch_up()
    await bench.book.close()
    bench.database.write_bytes(b"no database" * 500)
    bench.make()
    with pytest.raises(LedgerDiverged, match="move it away"):
        await bench.ledger.begin()
    with pytest.raises(LedgerDiverged, match="move it away"):
        await bench.ledger.answers.event("default", "any")


async def test_a_signer_that_forgot_takes_over_from_the_book(bench: Bench) -> None:
    await bench.catch_up()
    await bench.ledger.sign(BEGIN)
    (bench.home / "signer" / "head").unlink()
    await bench.restart()
    await bench.ledger.begin()
    assert (await bench.ledger.proving.tree_head()).checkpoint.size == 309
