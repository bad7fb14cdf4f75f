"""The ledger defends itself, against a real nats-server: the log restored, cut, replaced; and its end put back.

Faults 2, 5, 6, 7, 14, 15 and 23 of `docs/faults.md`, each by its number.
"""

import asyncio
import json
import shutil
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import grpc
import grpc.aio
import pytest
import pytest_asyncio

from chassis.eventlog.api import call
from chassis.eventlog.connection import connect
from chassis.eventlog.fence import fenced
from chassis.eventlog.stream import EVENTS, stream_state
from chassis.eventlog.wire import Connection
from provost.ledger.v1 import ledger_pb2 as pb
from services.ledger.domain.entry import Message
from tests.fakes.nats_server import NatsServer, fresh_stream
from tests.fakes.process import free_port
from tests.fakes.wait import until
from tests.integration.ledger.process import LedgerProcess, publish
from tests.integration.ledger.test_real import head_over, reached, verified
from tests.unit.ledger.story import plain, plains, run


@pytest.fixture
def own_nats(tmp_path: Path) -> Iterator[NatsServer]:
    """A server whose files a test may spoil."""
    server = NatsServer(tmp_path)
    server.start()
    yield server
    server.stop()


@pytest_asyncio.fixture
async def own_events(own_nats: NatsServer) -> AsyncIterator[Connection]:
    connection = await connect(own_nats.url, name="test")
    await fresh_stream(connection)
    yield connection
    await connection.close()


@pytest.fixture
def own_ledger(tmp_path: Path, own_nats: NatsServer, own_events: object) -> Iterator[LedgerProcess]:
    home = tmp_path / "ledger-home"
    home.mkdir()
    more = {"PROVOST_LEDGER_SCRUB_SECONDS": "1", "PROVOST_METRICS_PORT": str(free_port())}
    process = LedgerProcess(home, own_nats.url, **more)
    process.metrics_port = int(more["PROVOST_METRICS_PORT"])
    process.start()
    yield process
    process.stop()


def batch(first: int, count: int) -> list[Message]:
    """An atomic batch, as the chassis publishes one."""
    made = []
    for n, each in enumerate(plains(count, first=first), start=1):
        lines = f"Nats-Batch-Id: batch-{first}\r\nNats-Batch-Sequence: {n}\r\n"
        lines += "Nats-Batch-Commit: 1\r\n" if n == count else ""
        made.append(each._replace(header=each.header[:-2] + lines.encode() + b"\r\n"))
    return made


async def publish_batch(connection: Connection, messages: list[Message]) -> int:
    answer = b""
    for each in messages:
        _, answer = await connection.ask(each.subject, each.payload, header=each.header, timeout_seconds=30)
    return int(json.loads(answer)["seq"])


def restored(server: NatsServer) -> Callable[[], None]:
    """Takes a copy of the log now; what is returned puts it back."""
    server.stop()
    copy = server.store.with_name("older")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(server.store, copy)
    server.start()

    def restore() -> None:
        server.kill()
        shutil.rmtree(server.store)
        shutil.copytree(copy, server.store)
        server.start()

    return restore


def said(ledger: LedgerProcess, text: str) -> Callable[[], bool]:
    return lambda: text in ledger.log.read_text()


async def refused(connection: Connection) -> bool:
    """Whether the log takes nothing."""
    status, answer = await connection.ask("evt.default.test.a.b.New", timeout_seconds=30)
    return bool(status) or "error" in json.loads(answer)


async def repair(
    ledger: LedgerProcess, *, dry_run: bool = False, patient: bool = True
) -> pb.RepairLogResponse:
    answer = await ledger.ask("RepairLog", pb.RepairLogRequest(dry_run=dry_run), patient=patient)
    assert isinstance(answer, pb.RepairLogResponse)
    return answer


async def test_fault_5_a_log_restored_from_an_older_copy_is_fenced_and_its_end_put_back(
    own_ledger: LedgerProcess, own_events: Connection, own_nats: NatsServer
) -> None:
    guarded = Message(
        0,
        "evt.default.test.thing.one.Made",
        b"NATS/1.0\r\nNats-Msg-Id: guarded-1\r\nNats-Expected-Last-Subject-Sequence: 0\r\n"
        b"Nats-Expected-Last-Subject-Sequence-Subject: evt.default.test.thing.one.*\r\n\r\n",
        b"\x00\xff",
    )
    await publish(own_events, plains(200))
    await reached(own_ledger, 200)
    restore = restored(own_nats)
    await stream_state(own_events)
    await publish(own_events, plains(95, first=201))
    await publish(own_events, [guarded, Message(0, "evt.bare", b"", b"")])
    assert await publish_batch(own_events, batch(298, 3)) == 300
    await reached(own_ledger, 300)
    before = await head_over(own_ledger, 300)

    restore()
    await until(lambda: not own_ledger.serving(), "it goes on serving", 20)
    await until(said(own_ledger, "event log fenced"), "the log was not fenced", 20)
    log = own_ledger.log.read_text()
    assert "STREAM_REGRESSION" in log
    assert "the first event missing is 201" in log
    await stream_state(own_events)
    assert await refused(own_events)
    assert (await stream_state(own_events)).last == 200
    listed = await own_ledger.ask("ListEvents", pb.ListEventsRequest(page_size=1))
    assert listed.events, "reads are not answered"

    would = await repair(own_ledger, dry_run=True)
    assert would == pb.RepairLogResponse(first_sequence=201, last_sequence=300)
    assert (await stream_state(own_events)).last == 200
    answer = await repair(own_ledger)
    assert (answer.first_sequence, answer.last_sequence, answer.published) == (201, 300, 100)
    await until(own_ledger.serving, "it does not go on")
    assert await fenced(own_events) == ""
    assert await publish(own_events, plains(20, first=301)) == 320
    await reached(own_ledger, 320)
    after = await head_over(own_ledger, 320)
    growth = await own_ledger.ask(
        "GetConsistencyProof",
        pb.GetConsistencyProofRequest(from_size=before.tree_size, to_size=after.tree_size),
    )
    assert growth.to_size == 320
    assert (await verified(own_ledger)).ok
    with pytest.raises(grpc.aio.AioRpcError, match="holds all"):
        await repair(own_ledger)


async def test_fault_5_a_repair_that_is_killed_goes_on(
    own_ledger: LedgerProcess, own_events: Connection, own_nats: NatsServer
) -> None:
    await publish(own_events, plains(50))
    restore = restored(own_nats)
    await stream_state(own_events)
    await publish(own_events, plains(4000, first=51), in_flight=500)
    await reached(own_ledger, 4050)
    await head_over(own_ledger, 4050)
    restore()
    await until(said(own_ledger, "event log fenced"), "the log was not fenced", 20)
    await stream_state(own_events)
    repairing = asyncio.create_task(repair(own_ledger, patient=False))

    async def begun() -> bool:
        return (await stream_state(own_events)).last > 300

    await until(begun, "nothing is put back")
    own_ledger.kill()
    with pytest.raises(grpc.aio.AioRpcError):
        await repairing
    assert 300 < (await stream_state(own_events)).last < 4050
    own_ledger.expected_to_serve = False
    own_ledger.start()
    await until(lambda: not own_ledger.serving(), "it serves")
    assert await refused(own_events)
    answer = await repair(own_ledger)
    assert (answer.last_sequence, answer.first_sequence > 300) == (4050, True)
    await until(own_ledger.serving, "it does not go on")
    assert (await verified(own_ledger)).ok


async def test_fault_5_a_log_that_was_replaced_by_one_as_long_is_named_and_not_repaired(
    ledger: LedgerProcess, events: Connection
) -> None:
    await publish(events, plains(300))
    await head_over(ledger, 300)
    await fresh_stream(events)
    await publish(events, [*plains(200), *[plain(n, run="other") for n in range(201, 301)]])
    await until(said(ledger, "event 201 of the log is not the one the ledger has kept"), "not named", 30)
    assert not ledger.serving()
    with pytest.raises(grpc.aio.AioRpcError, match="event 201") as caught:
        await repair(ledger)
    assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION


async def test_fault_5_a_log_that_was_deleted_and_recreated_empty_is_put_back_whole(
    ledger: LedgerProcess, events: Connection
) -> None:
    await publish(events, plains(120))
    before = await head_over(ledger, 120)
    await fresh_stream(events)
    await until(said(ledger, "event log fenced"), "the log was not fenced", 30)
    answer = await repair(ledger)
    assert (answer.first_sequence, answer.last_sequence) == (1, 120)
    await until(ledger.serving, "it does not go on")
    assert (await head_over(ledger, 120)).root_hash == before.root_hash
    assert (await verified(ledger)).ok


@pytest.mark.parametrize(
    "limit", [{"max_msgs": 100}, {"max_age": 10**8, "duplicate_window": 10**8}], ids=["some", "all of it"]
)
async def test_fault_5_a_log_whose_beginning_is_gone_is_named_while_it_runs(
    own_ledger: LedgerProcess, own_events: Connection, limit: dict[str, int]
) -> None:
    await publish(own_events, plains(120))
    await reached(own_ledger, 120)
    # The guards of the stream stand; its own limits are what an insider has left.
    config = (await call(own_events, f"STREAM.INFO.{EVENTS}"))["config"]
    answer = await call(own_events, f"STREAM.UPDATE.{EVENTS}", config | {"discard": "old"} | limit)
    assert "error" not in answer, answer
    await until(said(own_ledger, "the first event missing is 1"), "nothing was said of it", 30)
    assert not own_ledger.serving()
    verdict = await verified(own_ledger)
    assert [
        (each.ok, "the first event missing is 1" in each.detail)
        for each in verdict.checks
        if each.name == "log"
    ] == [(False, True)]


def shown(ledger: LedgerProcess, name: str) -> float:
    """What a metric is now."""
    with urllib.request.urlopen(f"http://127.0.0.1:{ledger.metrics_port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    (line,) = [each for each in lines if each.startswith(f"{name} ")]
    return float(line.split()[1])


def flip(where: Path, marker: bytes) -> None:
    """Flip one bit of `marker` in the one file under `where` that holds it."""
    (found,) = [each for each in where.rglob("*") if each.is_file() and marker in each.read_bytes()]
    data = bytearray(found.read_bytes())
    data[data.index(marker)] ^= 1
    found.write_bytes(data)


async def test_fault_6_one_bit_flipped_in_the_ledger_is_named_within_a_pass(
    own_ledger: LedgerProcess, own_events: Connection
) -> None:
    marked = plain(300)._replace(payload=b"a marked payload, found nowhere else")
    await publish(own_events, [*plains(299), marked, *plains(300, first=301)])
    await reached(own_ledger, 600)
    assert (await verified(own_ledger)).ok
    own_ledger.stop()  # what it has written is in the one file then
    flip(own_ledger.database.parent, marked.payload)
    own_ledger.expected_to_serve = False  # the pass may be quicker than whoever asks
    own_ledger.start()
    await until(said(own_ledger, "row 300 is not what it was"), "one pass did not find it", 30)
    assert not own_ledger.serving()
    assert shown(own_ledger, "provost_ledger_diverged") == 1
    (told,) = [line for line in own_ledger.log.read_text().splitlines() if "ledger stopped" in line]
    assert "CRITICAL" in told, told
    answer = await verified(own_ledger)
    assert (answer.ok, answer.first_bad_sequence) == (False, 300)
    *_, rebuilt = await own_ledger.ask_all("RebuildLedger", pb.RebuildLedgerRequest())
    assert rebuilt.swapped
    await until(own_ledger.serving, "rebuilt, it does not go on")
    assert shown(own_ledger, "provost_ledger_diverged") == 0
    await until(lambda: shown(own_ledger, "provost_ledger_scrub_passes") >= 1, "no pass ends", 60)
    assert (await verified(own_ledger)).ok


async def test_fault_6_one_bit_flipped_in_the_log_is_named_within_a_pass(
    own_ledger: LedgerProcess, own_events: Connection, own_nats: NatsServer
) -> None:
    marked = plain(300)._replace(payload=b"a marked payload, found nowhere else")
    await publish(own_events, [*plains(299), marked, *plains(300, first=301)])
    await reached(own_ledger, 600)
    before = await head_over(own_ledger, 600)
    own_nats.kill()
    flip(own_nats.store, marked.payload)
    own_nats.start()
    await until(lambda: not own_ledger.serving(), "it goes on serving", 30)
    await until(said(own_ledger, "ledger stopped"), "nothing was said of it", 30)
    (told,) = [line for line in own_ledger.log.read_text().splitlines() if "ledger stopped" in line]
    # A server that finds the bit by its own checksum cuts the log off there: what followed is lost with it.
    assert "STREAM_REGRESSION" in told, told
    assert "the first event missing is 300" in told, told
    listed = await own_ledger.ask("ListEvents", pb.ListEventsRequest(page_size=1))
    assert listed.events[0].sequence == 600
    await until(said(own_ledger, "event log fenced"), "the log was not fenced", 20)
    assert (await repair(own_ledger)).published == 301
    await until(own_ledger.serving, "it does not go on")
    after = await head_over(own_ledger, 600)
    assert (after.tree_size, after.root_hash) == (600, before.root_hash)
    assert (await verified(own_ledger)).ok


async def test_fault_7_a_full_log_keeps_nobody_from_reading_and_goes_on_when_there_is_room(
    ledger: LedgerProcess, events: Connection
) -> None:
    await publish(events, plains(100))
    info = await call(events, f"STREAM.INFO.{EVENTS}")
    full = info["config"] | {"max_bytes": info["state"]["bytes"] + 5_000}
    assert "error" not in await call(events, f"STREAM.UPDATE.{EVENTS}", full)
    taken, n = 100, 101
    while True:
        each = plain(n)
        _, answer = await events.ask(each.subject, each.payload, header=each.header, timeout_seconds=30)
        told = json.loads(answer)
        if "error" in told:
            assert "maximum bytes exceeded" in told["error"]["description"]
            break
        taken, n = told["seq"], n + 1
    await reached(ledger, taken)
    assert ledger.serving()
    assert ledger.rows() == list(range(1, taken + 1))
    assert "error" not in await call(events, f"STREAM.UPDATE.{EVENTS}", info["config"])
    last = await publish(events, plains(50, first=n))
    assert last == taken + 50
    await reached(ledger, last)
    assert (await verified(ledger)).ok


async def test_fault_14_duplicates_outside_the_window_are_leaves_and_count_once(
    ledger: LedgerProcess, events: Connection
) -> None:
    story = run()
    assert await publish(events, story, in_flight=1) == len(story)
    # Within the window the server drops them; without their ids it cannot: as if the window had passed.
    await publish(events, story, in_flight=1)
    late = [each._replace(header=each.header.replace(b"Nats-Msg-Id", b"x-msg-id")) for each in story]
    last = await publish(events, late, in_flight=1)
    assert last == 2 * len(story)
    await reached(ledger, last)
    assert (await head_over(ledger, last)).tree_size == last
    actions = (await ledger.ask("ListAgentActions", pb.ListAgentActionsRequest())).actions
    assert len(actions) == len({each.decision_id for each in actions}) == 2
    (metrics,) = (await ledger.ask("ListAgentMetrics", pb.ListAgentMetricsRequest())).metrics
    assert metrics.total_runs == 1
    assert (await verified(ledger)).ok


async def test_fault_23_rows_inserted_and_cut_off_are_named(
    ledger: LedgerProcess, events: Connection
) -> None:
    await publish(events, plains(400))
    await head_over(ledger, 400)
    ledger.stop()
    columns = "leaf_hash, subject, header, payload"
    ledger.edit(
        f"INSERT INTO events (sequence, {columns}) SELECT 401, {columns} FROM events WHERE sequence = 7"
    )
    ledger.expected_to_serve = False
    ledger.start()
    await until(said(ledger, "row 401 was added behind the ledger's back"), "not named")
    assert not ledger.serving()
    ledger.stop()
    ledger.edit("DELETE FROM events WHERE sequence = 401")
    ledger.edit("DELETE FROM events WHERE sequence = 400")
    ledger.start()
    await until(
        lambda: "ledger stopped" in ledger.log.read_text().rpartition("401 was added")[2], "not named"
    )
    answer = await verified(ledger)
    assert (answer.ok, answer.first_bad_sequence) == (False, 400)
    ledger.stop()
    ledger.delete_database()
    ledger.expected_to_serve = True
    ledger.start()
    assert (await verified(ledger)).ok


async def test_fault_23_a_row_inserted_at_the_end_while_it_runs_is_named(
    ledger: LedgerProcess, events: Connection
) -> None:
    await publish(events, plains(100))
    await reached(ledger, 100)
    columns = "leaf_hash, subject, header, payload"
    ledger.edit(
        f"INSERT INTO events (sequence, {columns}) SELECT 101, {columns} FROM events WHERE sequence = 7"
    )
    await publish(events, plains(1, first=101))
    await until(said(ledger, "ledger stopped"), "not noticed")
    (told,) = [line for line in ledger.log.read_text().splitlines() if "ledger stopped" in line]
    assert "sequence=101" in told, told
    assert not ledger.serving()
