"""A rebuild as it really runs: beside live events, killed, and short of room."""

import asyncio
import os
import signal
import sqlite3
from pathlib import Path

import grpc.aio
import pytest

from chassis.eventlog.wire import Connection
from provost.ledger.v1 import ledger_pb2 as pb
from services.ledger.domain.entry import Message
from tests.fakes.wait import until
from tests.integration.ledger.process import LedgerProcess, publish
from tests.unit.ledger.story import plains

EVENTS = 12_000


def draft_of(ledger: LedgerProcess) -> Path:
    return ledger.database.with_name("ledger.db.draft")


def committed(ledger: LedgerProcess) -> int:
    """How many events the draft holds, read behind the ledger's back."""
    if not draft_of(ledger).exists():
        return 0
    db = sqlite3.connect(draft_of(ledger), timeout=10)
    try:
        row = db.execute("SELECT last_seq FROM position").fetchone()
        return int(row[0]) if row else 0
    except sqlite3.Error:
        return 0  # it is being made
    finally:
        db.close()


def children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def rebuilt(ledger: LedgerProcess) -> list[pb.RebuildLedgerResponse]:
    return await ledger.ask_all("RebuildLedger", pb.RebuildLedgerRequest(), timeout_seconds=120)


async def test_killed_it_goes_on_where_its_draft_was(ledger: LedgerProcess, events: Connection) -> None:
    last = await publish(events, plains(EVENTS), in_flight=500)
    await ledger.ask("AwaitSequence", pb.AwaitSequenceRequest(sequence=last, timeout_seconds=25))
    asking = asyncio.create_task(rebuilt(ledger))
    await until(lambda: committed(ledger) >= 2000, "the draft does not grow")
    ledger.kill()
    await asyncio.gather(asking, return_exceptions=True)
    kept = committed(ledger)
    assert 2000 <= kept <= EVENTS
    ledger.start()
    reports = await rebuilt(ledger)
    assert reports[0].events == kept
    assert (reports[-1].swapped, reports[-1].events) == (True, EVENTS)
    assert not draft_of(ledger).exists()
    assert (await ledger.ask("VerifyLedger", pb.VerifyLedgerRequest(against_log=True))).ok
    assert ledger.rows() == list(range(1, EVENTS + 1))


async def test_the_process_that_fills_the_draft_may_die(ledger: LedgerProcess, events: Connection) -> None:
    await publish(events, plains(EVENTS), in_flight=500)
    before = set(children(ledger.pid))
    asking = asyncio.create_task(rebuilt(ledger))
    await until(lambda: committed(ledger) >= 2000, "the draft does not grow")
    (filling,) = set(children(ledger.pid)) - before
    os.kill(filling, signal.SIGKILL)
    (problem,) = await asyncio.gather(asking, return_exceptions=True)
    assert isinstance(problem, grpc.aio.AioRpcError), problem
    assert problem.code() is grpc.StatusCode.UNAVAILABLE
    assert (await rebuilt(ledger))[-1].swapped
    assert (await ledger.ask("VerifyLedger", pb.VerifyLedgerRequest(against_log=True))).ok


async def test_short_of_room_it_gives_up_and_the_ledger_goes_on(
    ledger: LedgerProcess, events: Connection
) -> None:
    heavy = [Message(0, each.subject, each.header, b"x" * 4000) for each in plains(2500)]
    last = await publish(events, heavy, in_flight=100)
    await ledger.ask("AwaitSequence", pb.AwaitSequenceRequest(sequence=last, timeout_seconds=25))
    ledger.limit_file_size(4_000_000)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await rebuilt(ledger)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    await until(lambda: not draft_of(ledger).exists(), "what takes up room is still there")
    ledger.limit_file_size(-1)
    assert ledger.rows() == list(range(1, last + 1))
    assert (await rebuilt(ledger))[-1].swapped
    assert (await ledger.ask("VerifyLedger", pb.VerifyLedgerRequest(against_log=True))).ok


async def test_live_events_are_kept_meanwhile(ledger: LedgerProcess, events: Connection) -> None:
    await publish(events, plains(EVENTS), in_flight=500)
    asking = asyncio.create_task(rebuilt(ledger))
    await until(lambda: committed(ledger) >= 1, "the draft does not grow")
    while not asking.done():
        first = len(ledger.rows())
        last = await publish(events, plains(20, first=first + 1))
        await ledger.ask("AwaitSequence", pb.AwaitSequenceRequest(sequence=last, timeout_seconds=20))
    assert (await asking)[-1].swapped
    assert ledger.rows() == list(range(1, last + 1))
    assert (await ledger.ask("VerifyLedger", pb.VerifyLedgerRequest(against_log=True))).ok
