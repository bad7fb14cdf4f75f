"""How fast the ledger keeps events, beside merely consuming and merely inserting them in the same run.

python -m tests.bench.ledger [--events 1000000] [--database sqlite] [--json FILE]

Everything is real: the ledger as a process, nats-server syncing every write. The events are runs of twenty, each with a
decision, a plan, an effect and an end, so that every projection has work. What asking costs: `tests.bench.questions`.
"""

import argparse
import asyncio
import json
import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, Self

import asyncpg  # type: ignore[import-untyped]
import grpc.aio
import uvloop
from google.protobuf.message import Message as Proto
from sqlalchemy.schema import CreateTable

from chassis.eventlog.connection import connect
from chassis.eventlog.follower import Follower
from chassis.eventlog.stream import ensure_stream
from chassis.eventlog.wire import Connection
from chassis.rpc import client
from kernel.events import Recorded
from provost.ledger.v1 import ledger_pb2 as pb
from provost.orchestrator.v1 import events_pb2 as orchestrator
from provost.orchestrator.v1 import incident_pb2, orchestrator_pb2
from provost.policy.v1 import events_pb2 as policy
from provost.policy.v1 import policy_pb2
from services.ledger.adapters.postgres.definition import DIALECT
from services.ledger.adapters.schema import EVENTS
from services.ledger.adapters.sqlite.tables import create_table, insert
from services.ledger.domain.entry import Message, Row, row_of
from tests.bench.verdict import ended
from tests.fakes.nats_server import NatsServer
from tests.fakes.postgres_server import PostgresServer, new_database
from tests.integration.ledger.process import KEY, LedgerProcess, publish
from tests.unit.ledger.story import at, decision, message, plain

TARGETS = {
    "sqlite": {"catching up": 25_000.0, "rebuild": 33_333.0},
    "postgres": {"catching up": 25_000.0, "rebuild": 16_667.0},
}
LIMITS_MS = {"visible after append, p99": 100.0, "inclusion proof, p99": 5.0}
MAX_MEMORY_MB = 300
BATCH = 500
STREAM_BYTES = 16 * 1024**3
LIVE_EVENTS, LIVE_PER_SECOND = 3000, 1000


def history() -> Iterator[Message]:
    """Runs of twenty events, for ever; sequences as they will be in an empty log."""
    sequence = 0
    number = 0
    while True:
        number += 1
        run = f"run-{number}"
        made = decision(f"{number:032x}", policy_pb2.VERDICT_ALLOW)
        made.run_id = run
        effect = orchestrator_pb2.Effect(
            effect_id=f"e{number}", state=orchestrator_pb2.EFFECT_STATE_SUCCEEDED
        )
        incident = incident_pb2.Incident(severity="high", cause="memory", confidence=0.75, summary="x" * 400)
        told: list[tuple[str, Proto]] = [
            (run, orchestrator.PlanRecorded(run_id=run, agent_id="sre-1", incident=incident, at=at(2))),
            (f"replica-{number % 4}", policy.DecisionsMade(decisions=[made])),
            (
                run,
                orchestrator.EffectIntended(
                    run_id=run, effect_id=f"e{number}", decision_id=made.decision_id, at=at(3)
                ),
            ),
            (run, orchestrator.EffectsObserved(run_id=run, effects=[effect], at=at(4))),
            (run, orchestrator.RunEnded(run_id=run, agent_id=f"sre-{number % 8}", compliant=True, at=at(5))),
        ]
        for _ in range(15):
            sequence += 1
            yield plain(sequence, run=run)
        for name, event in told:
            sequence += 1
            yield message(sequence, event, aggregate="run", id=name, correlation_id=run)


async def fill(connection: Connection, messages: Iterator[Message], count: int) -> int:
    """Publish `count` messages in atomic batches, which is the quickest there is; the last sequence."""
    last = 0
    for number in range((count + BATCH - 1) // BATCH):
        batch = list(islice(messages, min(BATCH, count - number * BATCH)))
        for n, each in enumerate(batch, 1):
            commit = "Nats-Batch-Commit: 1\r\n" if n == len(batch) else ""
            lines = f"Nats-Batch-Id: fill-{number}\r\nNats-Batch-Sequence: {n}\r\n{commit}"
            header = each.header[:-2] + lines.encode() + b"\r\n"
            if n in {1, len(batch)}:
                _, answer = await connection.ask(
                    each.subject, each.payload, header=header, timeout_seconds=20
                )
                assert b"error" not in answer, answer
            else:
                connection.write(each.subject, b"", header, each.payload)
        last = json.loads(answer)["seq"]
    return last


async def bare_consume(connection: Connection, last: int) -> tuple[float, list[Row]]:
    """Events per second into a callback that does nothing, and some of the events as rows."""
    some: list[Row] = []

    async def nothing(events: list[Recorded]) -> None:
        """Handed over is all."""

    async def keep(events: list[Recorded]) -> None:
        if len(some) < 20_000:
            some.extend(row_of(Message(e.sequence, e.subject, e.headers.raw, e.payload)) for e in events)  # type: ignore[attr-defined]

    seconds = 0.0
    for deliver in (nothing, keep):
        follower = Follower(connection, ("evt.>",), 0, deliver, "bench")  # type: ignore[arg-type]
        began = time.perf_counter()
        await follower.start()
        await follower.reached(last, timeout_seconds=600)
        seconds = seconds or time.perf_counter() - began
        await follower.stop()
    return last / seconds, some


def bare_insert(directory: Path, rows: list[Row]) -> float:
    """Rows per second into the events table alone: durable, no tree, no index, no projection."""
    db = sqlite3.connect(directory / "bare.db", isolation_level=None)
    for pragma in ("journal_mode=WAL", "synchronous=FULL"):
        db.execute(f"PRAGMA {pragma}")
    db.execute(create_table(EVENTS, "main"))
    statement = insert(EVENTS, "main")
    began = time.perf_counter()
    for begin in range(0, len(rows), BATCH):
        db.execute("BEGIN")
        db.executemany(statement, rows[begin : begin + BATCH])
        db.execute("COMMIT")
    return len(rows) / (time.perf_counter() - began)


async def bare_copy(url: str, rows: list[Row]) -> float:
    """The same in PostgreSQL, by COPY."""
    db = await asyncpg.connect(url)
    table = CreateTable(EVENTS).compile(dialect=DIALECT)
    await db.execute(f"CREATE SCHEMA bare; SET search_path = bare; {table}")
    began = time.perf_counter()
    for begin in range(0, len(rows), BATCH):
        await db.copy_records_to_table(EVENTS.name, records=rows[begin : begin + BATCH])
    took = time.perf_counter() - began
    await db.close()
    return len(rows) / took


class Asked:
    """The ledger, asked over one channel."""

    def __init__(self, ledger: LedgerProcess, channel: grpc.aio.Channel) -> None:
        self._ledger = ledger
        self._channel = channel

    async def ask(self, method: str, request: Any) -> Any:
        return await self._ledger.call(self._channel, method, request)

    async def reached(self, sequence: int) -> None:
        while True:
            try:
                await self.ask(
                    "AwaitSequence", pb.AwaitSequenceRequest(sequence=sequence, timeout_seconds=25)
                )
                return
            except grpc.aio.AioRpcError as problem:
                if problem.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                    raise


async def milliseconds(count: int, one: Callable[[int], Awaitable[object]]) -> list[float]:
    """How long each call took, sorted."""
    took = []
    for n in range(count):
        began = time.perf_counter()
        await one(n)
        took.append((time.perf_counter() - began) * 1000)
    return sorted(took)


async def live(connection: Connection, asked: Asked, messages: Iterator[Message]) -> list[float]:
    """Milliseconds from an append's acknowledgement until it is in the ledger, every tenth of a steady flow."""
    took: list[float] = []
    watching = []

    async def watch(sequence: int) -> None:
        began = time.perf_counter()
        await asked.reached(sequence)
        took.append((time.perf_counter() - began) * 1000)

    began = time.perf_counter()
    for n in range(0, LIVE_EVENTS, 10):
        last = await publish(connection, list(islice(messages, 10)), in_flight=10)
        watching.append(asyncio.create_task(watch(last)))
        await asyncio.sleep(max(0.0, began + n / LIVE_PER_SECOND - time.perf_counter()))
    await asyncio.gather(*watching)
    return sorted(took)


class Watched:
    """What a process and those it started take, while it is watched."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._cpu = 0.0
        self.peak_mb = 0.0
        self._watching: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._cpu = family_cpu_seconds(self._pid)
        self._watching = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._watching is not None
        self._watching.cancel()
        self.cpu_seconds = family_cpu_seconds(self._pid) - self._cpu

    async def _watch(self) -> None:
        while True:
            self.peak_mb = max(self.peak_mb, family_memory_mb(self._pid))
            await asyncio.sleep(0.25)


def family(pid: int) -> list[int]:
    """The process, its children and theirs."""
    found = [pid]
    for each in found:
        with suppress(OSError):
            found.extend(map(int, Path(f"/proc/{each}/task/{each}/children").read_text().split()))
    return found


def family_memory_mb(pid: int) -> float:
    """Proportional set size: what is shared is counted once."""
    total = 0
    for each in family(pid):
        with suppress(OSError):
            total += int(Path(f"/proc/{each}/smaps_rollup").read_text().partition("Pss:")[2].split()[0])
    return total / 1024


def family_cpu_seconds(pid: int) -> float:
    """Of the process, and of the children it had that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


async def measure_on(database: str, events: int) -> dict[str, float]:
    """Everything on one database."""
    if database == "sqlite":
        return await measure(events, "")
    server = PostgresServer()
    server.start()
    try:
        return await measure(events, await new_database(server))
    finally:
        server.stop()
        server.remove()


async def measure(events: int, postgres: str) -> dict[str, float]:
    """With the ledger in PostgreSQL at that URL, or else in SQLite."""
    measured: dict[str, float] = {}
    messages = history()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        server = NatsServer(directory)
        server.start()
        connection = await connect(server.url, name="bench")
        await ensure_stream(connection, max_bytes=STREAM_BYTES)
        ledger = LedgerProcess(directory, server.url, PROVOST_LEDGER_DATABASE_URL=postgres)
        ledger.start()
        try:
            async with client.channel(ledger.address, internal_key=KEY) as channel:
                asked = Asked(ledger, channel)
                await asked.reached(await fill(connection, messages, 10))
                ledger.pause()
                last = await fill(connection, messages, events)
                async with Watched(ledger.pid) as watched:
                    began = time.perf_counter()
                    ledger.resume()
                    await asked.reached(last)
                    measured["catching up"] = events / (time.perf_counter() - began)
                measured["catching up, CPU µs"] = watched.cpu_seconds / events * 1e6
                measured["catching up, MB"] = watched.peak_mb
                async with Watched(ledger.pid) as watched:
                    began = time.perf_counter()
                    *_, done = await ledger.ask_all(
                        "RebuildLedger", pb.RebuildLedgerRequest(), timeout_seconds=900
                    )
                    assert done.swapped, done
                    measured["rebuild"] = last / (time.perf_counter() - began)
                measured["rebuild, CPU µs"] = watched.cpu_seconds / last * 1e6
                measured["rebuild, MB"] = watched.peak_mb
                took = await live(connection, asked, messages)
                measured |= {"visible after append, p50": took[len(took) // 2]}
                measured |= {"visible after append, p99": took[len(took) * 99 // 100]}
                page = await asked.ask("ListEvents", pb.ListEventsRequest(page_size=500))
                ids = [each.event_id for each in page.events]
                await asked.ask(
                    "GetTreeHead", pb.GetTreeHeadRequest(at_least_sequence=page.events[0].sequence)
                )
                took = await milliseconds(
                    400,
                    lambda n: asked.ask(
                        "GetInclusionProof", pb.GetInclusionProofRequest(event_id=ids[n % len(ids)])
                    ),
                )
                measured |= {"inclusion proof, p50": took[200], "inclusion proof, p99": took[395]}
                began = time.perf_counter()
                verdict = await ledger.ask("VerifyLedger", pb.VerifyLedgerRequest(), timeout_seconds=900)
                assert verdict.ok, verdict
                measured["verify"] = last / (time.perf_counter() - began)
            ledger.stop()
            measured["bare consume"], rows = await bare_consume(connection, last)
            measured["bare insert"] = (
                await bare_copy(postgres, rows) if postgres else bare_insert(directory, rows)
            )
        finally:
            await connection.close()
            ledger.stop()
            server.stop()
    return measured


def show(database: str, measured: dict[str, float]) -> None:
    targets = TARGETS[database]
    print(f"The ledger on {database}")
    print(
        f"{'events per second':<32}{'':>12}{'of consume':>12}{'of insert':>12}{'target':>10}{'CPU µs each':>12}"
    )
    for name in ("bare consume", "bare insert", "catching up", "rebuild", "verify"):
        rate = measured[name]
        shares = f"{rate / measured['bare consume']:>12.2f}{rate / measured['bare insert']:>12.2f}"
        target = f"{targets[name]:,.0f}" if name in targets else ""
        busy = f"{measured[f'{name}, CPU µs']:.0f}" if f"{name}, CPU µs" in measured else ""
        print(f"{name:<32}{rate:>12,.0f}{shares}{target:>10}{busy:>12}")
    print(f"\n{'milliseconds':<48}{'p50':>12}{'p99':>12}{'at most':>12}")
    for name in (each.removesuffix(", p99") for each in measured if each.endswith(", p99")):
        limit = LIMITS_MS[f"{name}, p99"]
        print(f"{name:<48}{measured[f'{name}, p50']:>12.1f}{measured[f'{name}, p99']:>12.1f}{limit:>12.0f}")
    print()
    for name in ("catching up, MB", "rebuild, MB"):
        print(f"{name:<48}{measured[name]:>12.0f}{MAX_MEMORY_MB:>12}")


def goals_met(database: str, measured: dict[str, float]) -> Iterator[bool]:
    yield from (measured[name] >= goal for name, goal in TARGETS[database].items())
    yield from (measured[name] <= limit for name, limit in LIMITS_MS.items() if name in measured)
    yield from (measured[f"{name}, MB"] <= MAX_MEMORY_MB for name in ("catching up", "rebuild"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--database", choices=TARGETS, action="append", help="both when it is not said")
    options = parser.parse_args()
    measured = {}
    for database in options.database or TARGETS:
        measured[database] = uvloop.run(measure_on(database, options.events))
        show(database, measured[database])
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(measured, indent=2) + "\n")
    return ended(good for database, found in measured.items() for good in goals_met(database, found))


if __name__ == "__main__":
    sys.exit(main())
