"""The ledger against what may happen to it: killed, deleted, edited, short of room, its log cut short or poisoned."""

import asyncio
import time
from functools import partial
from pathlib import Path

import pytest

from chassis.eventlog.wire import Connection
from provost.ledger.v1 import ledger_pb2 as pb
from services.ledger.domain.entry import Message
from tests.fakes.nats_server import NatsServer, fresh_stream
from tests.fakes.wait import until
from tests.integration.ledger.process import LedgerProcess, publish
from tests.unit.ledger.story import plain, plains, run


async def reached(ledger: LedgerProcess, sequence: int) -> None:
    await ledger.ask("AwaitSequence", pb.AwaitSequenceRequest(sequence=sequence, timeout_seconds=20))


def has_rows(ledger: LedgerProcess, count: int) -> bool:
    return len(ledger.rows()) >= count


async def head_over(ledger: LedgerProcess, sequence: int) -> pb.TreeHead:
    answer = await ledger.ask("GetTreeHead", pb.GetTreeHeadRequest(at_least_sequence=sequence))
    assert isinstance(answer.tree_head, pb.TreeHead)
    return answer.tree_head


async def verified(ledger: LedgerProcess) -> pb.VerifyLedgerResponse:
    answer = await ledger.ask("VerifyLedger", pb.VerifyLedgerRequest(against_log=True))
    assert isinstance(answer, pb.VerifyLedgerResponse)
    return answer


async def test_without_its_database_it_comes_back_with_the_same_root(
    ledger: LedgerProcess, events: Connection
) -> None:
    last = await publish(events, [*plains(500), *run(first=501)])
    before = await head_over(ledger, last)
    assert before.tree_size == last == 509
    actions = await ledger.ask("ListAgentActions", pb.ListAgentActionsRequest())
    assert [each.success for each in actions.actions] == [False, True]
    ledger.stop()
    ledger.delete_database()
    ledger.start()
    await reached(ledger, last)
    after = await head_over(ledger, last)
    assert (after.tree_size, after.root_hash, after.checkpoint) == (509, before.root_hash, before.checkpoint)
    assert await ledger.ask("ListAgentActions", pb.ListAgentActionsRequest()) == actions
    assert (await verified(ledger)).ok


async def test_killed_while_it_writes_it_has_no_row_twice_and_none_missing(
    ledger: LedgerProcess, events: Connection
) -> None:
    for kill in range(5):
        first = kill * 600 + 1
        publishing = asyncio.create_task(publish(events, plains(600, first=first)))
        await until(partial(has_rows, ledger, first + 99 + 50 * kill), "the ledger does not go on")
        ledger.kill()
        await publishing
        ledger.start()
    await reached(ledger, 3000)
    assert ledger.rows() == list(range(1, 3001))
    answer = await verified(ledger)
    assert answer.ok, answer
    assert (await head_over(ledger, 3000)).tree_size == 3000


@pytest.mark.alone
async def test_an_event_is_visible_soon_after_its_append(ledger: LedgerProcess, events: Connection) -> None:
    await publish(events, plains(10))
    await reached(ledger, 10)
    waits = []
    for sequence in range(11, 31):
        assert await publish(events, [plain(sequence)]) == sequence
        begin = time.monotonic()
        await reached(ledger, sequence)
        waits.append(time.monotonic() - begin)
    assert sorted(waits)[len(waits) // 2] < 0.1, waits


async def test_an_edited_row_is_named(ledger: LedgerProcess, events: Connection) -> None:
    last = await publish(events, plains(400))
    await head_over(ledger, last)
    assert (await verified(ledger)).ok
    ledger.edit("UPDATE events SET payload = x'00' WHERE sequence = 123")
    answer = await verified(ledger)
    assert (answer.ok, answer.first_bad_sequence) == (False, 123)
    assert {each.name for each in answer.checks if not each.ok} >= {"leaves", "tiles", "root"}
    *_, rebuilt = await ledger.ask_all("RebuildLedger", pb.RebuildLedgerRequest())
    assert rebuilt.swapped
    assert (await verified(ledger)).ok


async def test_a_log_cut_short_is_refused(ledger: LedgerProcess, events: Connection) -> None:
    last = await publish(events, plains(300))
    await head_over(ledger, last)
    ledger.stop()
    await fresh_stream(events)
    await publish(events, plains(250))
    ledger.expected_to_serve = False
    ledger.start()
    await until(lambda: "STREAM_REGRESSION" in ledger.log.read_text(), "nothing was said of it")
    assert not ledger.serving()
    answer = await verified(ledger)
    assert (answer.ok, answer.first_bad_sequence) == (False, 251)
    (following,) = [each for each in answer.checks if each.name == "following"]
    assert "the first event missing is 251" in following.detail
    listed = await ledger.ask("ListEvents", pb.ListEventsRequest(page_size=1))
    assert listed.events[0].sequence == 300
    await until(lambda: "event log fenced" in ledger.log.read_text(), "others may still write")
    await ledger.ask("RepairLog", pb.RepairLogRequest())
    ledger.expected_to_serve = True
    await until(ledger.serving, "the same log, whole again, was refused")
    assert await publish(events, plains(150, first=301)) == 450
    await reached(ledger, 450)
    assert (await verified(ledger)).ok


async def test_a_log_replaced_while_it_runs_is_refused(ledger: LedgerProcess, events: Connection) -> None:
    last = await publish(events, plains(300))
    await head_over(ledger, last)
    await fresh_stream(events)
    await publish(events, [*plains(200), *[plain(n, run="other") for n in range(201, 401)]])
    await until(lambda: not ledger.serving(), "it goes on serving")
    await until(
        lambda: "event 201 of the log is not the one" in ledger.log.read_text(), "nothing was said of it", 30
    )
    assert (await verified(ledger)).first_bad_sequence == 201
    assert ledger.rows() == list(range(1, 301))


async def test_poison_is_kept_and_stops_nothing(ledger: LedgerProcess, events: Connection) -> None:
    story = run()
    poison = [
        Message(0, story[2].subject, story[2].header.replace(b"Nats-Msg-Id", b"x-id"), b"\xff\xff\xff"),
        Message(0, story[2].subject, b"", b""),
        Message(0, "evt.only", b"NATS/1.0\r\nce-time: yesterday\r\nce-id:\r\n\r\n", b"\x00"),
        Message(0, "evt.a.b.c.d.e.f.g", b"NATS/1.0\r\nno colon\r\n\r\n", b"{}"),
        Message(0, story[0].subject, story[0].header.replace(b"Nats-Msg-Id", b"x-id"), story[0].payload),
    ]
    last = await publish(events, [*story, *poison, *plains(20, first=100)])
    assert last == len(story) + len(poison) + 20
    assert (await head_over(ledger, last)).tree_size == last
    assert ledger.rows() == list(range(1, last + 1))
    assert (await verified(ledger)).ok
    assert len((await ledger.ask("ListAgentActions", pb.ListAgentActionsRequest())).actions) == 2


async def test_short_of_room_it_waits_and_goes_on(ledger: LedgerProcess, events: Connection) -> None:
    heavy = [Message(0, each.subject, each.header, b"x" * 20_000) for each in plains(300)]
    await publish(events, heavy[:50])
    await reached(ledger, 50)
    sizes = [each.stat().st_size for each in ledger.database.parent.glob("ledger.db*")]
    ledger.limit_file_size(max(sizes) + 200_000)
    await publish(events, heavy[50:])
    await until(lambda: not ledger.serving(), "it says that it is well")
    await until(lambda: "events not kept yet" in ledger.log.read_text(), "nothing was said of it")
    rows = ledger.rows()
    assert rows == list(range(1, len(rows) + 1))
    assert len(rows) < 300
    ledger.limit_file_size(-1)
    await reached(ledger, 300)
    await until(ledger.serving, "it does not recover")
    assert (await verified(ledger)).ok


async def test_it_survives_its_event_log(
    ledger: LedgerProcess, events: Connection, nats_server: NatsServer
) -> None:
    await publish(events, plains(100))
    await reached(ledger, 100)
    nats_server.kill()
    assert (await ledger.ask("ListEvents", pb.ListEventsRequest(page_size=1))).events[0].sequence == 100
    nats_server.start()
    await events.wait_connected(10)
    last = await publish(events, plains(100, first=101))
    await reached(ledger, last)
    assert (await verified(ledger)).ok


async def test_rebuilt_while_events_arrive(ledger: LedgerProcess, events: Connection) -> None:
    await publish(events, plains(1000))
    publishing = asyncio.create_task(publish(events, plains(500, first=1001)))
    reports = await ledger.ask_all("RebuildLedger", pb.RebuildLedgerRequest())
    assert (reports[-1].done, reports[-1].swapped) == (True, True), reports[-1]
    last = await publishing
    await reached(ledger, last)
    assert ledger.rows() == list(range(1, 1501))
    assert (await verified(ledger)).ok


async def test_a_second_start_stops_soon_and_cleanly(ledger: LedgerProcess, events: Connection) -> None:
    await publish(events, plains(100))
    await reached(ledger, 100)
    ledger.stop()
    assert not list(ledger.database.parent.glob("ledger.db-*"))
    ledger.start()
    await reached(ledger, 100)


@pytest.mark.slow
async def test_a_large_log_fills_an_empty_ledger(
    tmp_path: Path, events: Connection, nats_server: NatsServer
) -> None:
    last = await publish(events, plains(21_000), in_flight=500)
    ledger = LedgerProcess(tmp_path, nats_server.url)
    ledger.start()
    try:
        await reached(ledger, last)
        assert (await head_over(ledger, last)).tree_size == 21_000
        assert (await verified(ledger)).ok
        assert "ledger is filled" in ledger.log.read_text()
    finally:
        ledger.stop()
