"""What has ended lies on a shelf, and nobody can tell but by the memory."""

import errno
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from chassis.eventlog.aggregates import HeldAggregates
from chassis.eventlog.follower import Follower
from chassis.eventlog.headers import raw_headers
from chassis.eventlog.memory import MemoryLog
from chassis.eventlog.shelf import Laid, Shelf
from kernel.decider import Decider
from kernel.events import Head
from kernel.faults import Refused, Unavailable
from tests.contract.eventlog.words import CODEC, Int64Value, cause
from tests.unit.chassis.test_aggregates import Add, Sum, decide, evolve

SUM: Decider[Add, Sum, Int64Value] = Decider(
    "test", "sum", Sum(), decide, evolve, lambda state: "FULL" if state.total >= 10 else ""
)
Sums = HeldAggregates[Add, Sum, Int64Value]


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog(CODEC)


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    made = Shelf(tmp_path / "new", most_held=0)
    yield made
    made.close()


@pytest_asyncio.fixture
async def sums(log: MemoryLog, shelf: Shelf) -> AsyncIterator[Sums]:
    made = HeldAggregates(SUM, log, CODEC, shelf)
    made.following = follower = Follower(log, made.filters, 0, made.take, "test")
    await follower.start()
    yield made
    await follower.stop()


def lies(sums: Sums, key: str) -> bool:
    return isinstance(sums._held["acme"][key]._whole, Laid)


async def test_what_has_ended_lies_on_the_shelf_and_answers_as_before(sums: Sums, tmp_path: Path) -> None:
    first = await sums.handle("a", Add(4), cause("r1"))
    await sums.handle("b", Add(1), cause("r1"))
    assert not lies(sums, "a")
    last = await sums.handle("a", Add(6), cause("r2"))
    assert (lies(sums, "a"), lies(sums, "b")) == (True, False)
    assert sums.current("acme", "a") == Sum(10, (4, 6))
    assert (sums.head("acme", "a"), sums.sequences("acme", "a")) == (Head(3, 2), (1, 3))
    assert list(sums.all("acme")) == [("a", Sum(10, (4, 6))), ("b", Sum(1, (1,)))]
    assert list(sums.endings("acme")) == [("a", "FULL"), ("b", "")]
    for appended, amount, request in ((first, 4, "r1"), (last, 6, "r2")):
        assert await sums.handle("a", Add(amount), cause(request)) == replace(appended, duplicate=True)
        assert sums.answered("a", Add, cause(request)) == replace(appended, duplicate=True)
    with pytest.raises(Refused):
        await sums.handle("a", Add(-1), cause("no"))
    assert lies(sums, "a")
    assert list((tmp_path / "new").iterdir()) == [], "the file has a name"


async def test_what_comes_behind_its_end_is_folded_in_and_a_copy_is_not(sums: Sums, log: MemoryLog) -> None:
    await sums.handle("a", Add(10), cause("r1"))
    assert (await sums.handle("a", Add(1), cause("r2"))).sequence == 2
    other = HeldAggregates(SUM, log, CODEC)
    await other.take(log.recorded())
    await other.handle("a", Add(2), cause("r3"))
    old = log.recorded()[0]
    last = log.put(old.subject, old.payload, raw_headers(old))
    assert sums.following is not None
    await sums.following.reached(last)
    assert (sums.current("acme", "a"), lies(sums, "a")) == (Sum(13, (10, 1, 2)), True)
    assert sums.head("acme", "a") == Head(last, 3)
    assert (await sums.handle("a", Add(2), cause("r3"))).duplicate
    assert (await sums.handle("a", Add(3), cause("r4"))).sequence == last + 1


async def test_it_is_restored_onto_the_shelf(sums: Sums, log: MemoryLog, shelf: Shelf) -> None:
    await sums.handle("a", Add(10), cause("r1"))
    remembered = sums.remembered()
    assert remembered is not None
    again = HeldAggregates(SUM, log, CODEC, shelf)
    again.restore(remembered)
    assert lies(again, "a")
    assert (again.current("acme", "a"), list(again.endings("acme"))) == (Sum(10, (10,)), [("a", "FULL")])
    assert (await again.handle("a", Add(10), cause("r1"))).duplicate


async def test_where_there_is_no_room_it_stays_in_memory(sums: Sums, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    for answer in (full, lambda *_: 3):
        with monkeypatch.context() as while_full:
            while_full.setattr(os, "pwrite", answer)
            key = answer.__name__.strip("<>")
            assert (await sums.handle(key, Add(10), cause("r1"))).event_ids
        assert not lies(sums, key)
        assert sums.current("acme", key) == Sum(10, (10,))
    await sums.handle("later", Add(10), cause("r1"))
    assert lies(sums, "later")
    assert sums.current("acme", "later") == Sum(10, (10,))


async def test_a_disk_that_fails_is_told_and_nothing_is_taken_for_new(
    sums: Sums, log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sums.handle("a", Add(10), cause("r1"))

    def failing(*_: object) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    for answer in (failing, lambda *_: b"short"):
        with monkeypatch.context() as while_failing:
            while_failing.setattr(os, "pread", answer)
            with pytest.raises(Unavailable) as told:
                sums.current("acme", "a")
            assert told.value.reason == "STORE_UNREACHABLE"
            with pytest.raises(Unavailable):
                await sums.handle("a", Add(10), cause("r1"))
            assert (sums.head("acme", "a"), dict(sums.endings("acme"))["a"]) == (Head(1, 1), "FULL")
            await sums.handle("b", Add(1), cause(answer.__name__.strip("<>")))
    assert sums.current("acme", "a") == Sum(10, (10,))
    assert len(log.recorded()) == 3


async def test_what_was_looked_at_last_is_held_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = Shelf(tmp_path, most_held=2)
    laid = [shelf.put([n]) for n in range(3)]
    reads: list[int] = []

    def pread(fd: int, length: int, at: int) -> bytes:
        reads.append(at)
        return read(fd, length, at)

    read = os.pread
    monkeypatch.setattr(os, "pread", pread)
    assert [each.taken() for each in (laid[2], laid[1], laid[2])] == [[2], [1], [2]]
    assert reads == []
    assert [each.taken() for each in (laid[0], laid[0], laid[2], laid[1])] == [[0], [0], [2], [1]]
    assert len(reads) == 2
    shelf.close()
