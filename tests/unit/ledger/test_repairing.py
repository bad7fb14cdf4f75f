"""Repair over a log in a list: a lost end comes back as it was, and nothing else is touched."""

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kernel.faults import Refused, Unavailable
from services.ledger.domain.faults import LedgerDiverged, NothingToRepair, StreamRegression
from services.ledger.domain.records import Repaired
from tests.unit.ledger.fakes import Bench, ListedLog
from tests.unit.ledger.story import BEGIN, plain, plains


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = await Bench(tmp_path, ListedLog(plains(300))).start()
    await bench.ledger.begin()
    await bench.catch_up()
    await bench.ledger.sign(BEGIN)
    yield bench
    await bench.book.close()


@pytest.mark.parametrize("left", [250, 299, 0])
async def test_a_lost_end_comes_back_as_it_was(bench: Bench, left: int) -> None:
    whole = list(bench.log.messages)
    del bench.log.messages[left:]
    with pytest.raises(StreamRegression):
        await bench.ledger.begin()
    assert await bench.ledger.repair(dry_run=True) == Repaired(left + 1, 300, 0)
    assert (len(bench.log.messages), bench.mender.fenced) == (left, "")
    assert await bench.ledger.repair(dry_run=False) == Repaired(left + 1, 300, 300 - left)
    assert (bench.log.messages, bench.mender.fenced) == (whole, "")
    await bench.ledger.begin()
    assert bench.ledger.diverged is None
    bench.log.messages.append(plain(301))
    await bench.catch_up()
    assert (await bench.ledger.verify(against_log=True)).ok
    assert (await bench.ledger.sign(BEGIN)) is not None


async def test_cut_short_it_goes_on_where_it_was(bench: Bench) -> None:
    whole = list(bench.log.messages)
    del bench.log.messages[100:]
    bench.mender.room = 77
    with pytest.raises(Unavailable):
        await bench.ledger.repair(dry_run=False)
    assert (len(bench.log.messages), bool(bench.mender.fenced)) == (177, True)
    await bench.restart()  # its fence is in the log and stays
    bench.mender.fenced = "still"
    with pytest.raises(StreamRegression, match="missing is 178"):
        await bench.ledger.begin()
    assert bench.mender.fenced
    assert await bench.ledger.repair(dry_run=False) == Repaired(178, 300, 123)
    assert (bench.log.messages, bench.mender.fenced) == (whole, "")


async def refused(bench: Bench, match: str) -> None:
    before = list(bench.log.messages)
    for dry_run in (True, False):
        with pytest.raises(Refused, match=match):
            await bench.ledger.repair(dry_run=dry_run)
    assert (bench.log.messages, bench.mender.fenced) == (before, "")


async def test_what_is_whole_is_not_repaired(bench: Bench) -> None:
    with pytest.raises(NothingToRepair):
        await bench.ledger.repair(dry_run=False)
    bench.log.messages.append(plain(301))
    await refused(bench, "holds all")


async def test_another_history_is_not_repaired(bench: Bench) -> None:
    bench.log.messages[200:] = [plain(n, run="other") for n in range(201, 251)]
    await refused(bench, "event 201 of the log is not the one")
    bench.log.messages[200:] = [plain(n, run="other") for n in range(201, 302)]
    await refused(bench, "event 201 of the log is not the one")


async def test_an_edited_log_is_not_repaired(bench: Bench) -> None:
    del bench.log.messages[250:]
    bench.log.messages[33] = plain(34, run="forged")
    await refused(bench, "event 34 of the log is not the one")


async def test_a_lost_beginning_is_not_repaired(bench: Bench) -> None:
    bench.log.messages[:] = bench.log.messages[10:250]
    await refused(bench, "begins at 11")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("UPDATE events SET payload = x'00' WHERE sequence = 280", "row 280 does not hold"),
        ("DELETE FROM events WHERE sequence = 280", "missing"),
        ("UPDATE tiles SET root = zeroblob(32)", "not the one that was signed"),
    ],
)
async def test_what_the_ledger_itself_no_longer_holds_is_not_put_back(
    bench: Bench, change: str, named: str
) -> None:
    db = sqlite3.connect(bench.database, isolation_level=None)
    for (trigger,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        db.execute(f"DROP TRIGGER {trigger}")
    assert db.execute(change).rowcount >= 1
    db.close()
    del bench.log.messages[250:]
    await refused(bench, named)


async def test_nobody_writes_between(bench: Bench) -> None:
    del bench.log.messages[250:]
    fence = bench.mender.fence

    async def too_late(why: str) -> None:
        bench.log.messages.append(plain(251, run="other"))
        await fence(why)

    bench.mender.fence = too_late  # type: ignore[method-assign]
    with pytest.raises(LedgerDiverged, match="somebody has written"):
        await bench.ledger.repair(dry_run=False)
    assert len(bench.log.messages) == 251
    assert bench.mender.fenced
