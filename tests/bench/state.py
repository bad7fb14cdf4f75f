"""What a durable Advance through the state service costs, against bare publishes to the same nats-server.

python -m tests.bench.state [--advances 2000] [--rounds 3] [--events 100000] [--json FILE]

Then how long the store takes to come back from a log of so many events: after FLUSHALL, by RebuildStore, and when state
itself starts anew.
Everything is real: state as a process, nats-server syncing every write, a store that state keeps up meanwhile.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop

from chassis import process, store
from chassis.embedded.services import FITTED
from chassis.eventlog.connection import connect
from chassis.eventlog.jetstream import JetStreamLog
from chassis.eventlog.stream import ensure_stream
from chassis.eventlog.wire import Connection
from chassis.rpc import client
from chassis.rpc.cause import metadata_of
from kernel.events import Cause, Head, Stream
from provost.state.v1 import state_pb2 as pb
from provost.state.v1.state_pb2_grpc import StateServiceStub
from services.state.domain.lock import AgentAdvanced
from services.state.domain.packet import Packet, PacketIssued
from services.state.wire import CODEC
from tests.bench.echo import cpu_seconds
from tests.bench.verdict import ended
from tests.fakes import process as process_fakes
from tests.fakes.nats_server import NatsServer
from tests.fakes.valkey_server import ValkeyServer
from tests.integration.state.process import KEY, StateProcess

TARGETS = {1: 0.28, 32: 0.35}
PAYLOAD = b"x" * 90
AGENTS = 1000
ROLES: Any = metadata_of(Cause("default", "", "service:bench", process.now(), "run-1"))


@dataclass
class Rounds:
    """What each round measured, and the milliseconds of every call."""

    per_second: list[float]
    milliseconds: list[float]


async def rate(rounds: Rounds, count: int, in_flight: int, one: Callable[[int], Awaitable[object]]) -> None:
    async def worker(number: int) -> None:
        for _ in range(count // in_flight):
            began = time.perf_counter()
            await one(number)
            rounds.milliseconds.append((time.perf_counter() - began) * 1000)

    began = time.perf_counter()
    await asyncio.gather(*(worker(number) for number in range(in_flight)))
    rounds.per_second.append(count // in_flight * in_flight / (time.perf_counter() - began))


async def locked(stub: Any, agent_id: str) -> int:
    """An agent at work; its token."""
    packet = pb.Packet(agent_id=agent_id, task_id="bench", objective="advance")
    request = pb.IssuePacketRequest(request_id=process.new_id(), packet=packet)
    await stub.IssuePacket(request, metadata=ROLES)
    lock = pb.AcquireLockRequest(
        request_id=process.new_id(), agent_id=agent_id, task_id="bench", holder="run-1", lease_seconds=600
    )
    return int((await stub.AcquireLock(lock, metadata=ROLES)).lock.fencing_token)


async def advances(
    connection: Connection, stub: Any, count: int, rounds: int
) -> dict[int, dict[str, Rounds]]:
    """Rounds of bare publishes and of Advance take turns, so that the machine's other work hits both alike."""
    jetstream = connection.jetstream()
    tokens = [await locked(stub, f"sre-{number}") for number in range(max(TARGETS))]

    async def publish(worker: int) -> None:
        await jetstream.publish(f"evt.bench.bare.agent.{worker}.Bare", PAYLOAD)

    async def advance(worker: int) -> None:
        request = pb.AdvanceRequest(
            request_id=process.new_id(),
            agent_id=f"sre-{worker}",
            task_id="bench",
            run_id="run-1",
            phase="EXECUTE",
            step="diagnostics.memory",
            fencing_token=tokens[worker],
            lease_seconds=600,
        )
        await stub.Advance(request, metadata=ROLES, timeout=10)

    found = {each: {"bare publish": Rounds([], []), "Advance": Rounds([], [])} for each in TARGETS}
    for _ in range(rounds):
        for in_flight, both in found.items():
            await rate(both["bare publish"], count, in_flight, publish)
            await rate(both["Advance"], count, in_flight, advance)
    return found


async def history(connection: Connection, count: int) -> int:
    """`count` events of a thousand agents that go through runs; the last sequence."""
    log = JetStreamLog(connection, CODEC, "provost/bench")
    now, sequence = process.now(), 0
    for number in range(AGENTS):
        agent_id, per_agent = f"old-{number}", count // AGENTS
        packet = Packet(agent_id, f"task-{number}", "bench", "advance", now)
        events: list[object] = [PacketIssued(packet, now)]
        events += [
            AgentAdvanced(agent_id, f"task-{number}", "run-1", "EXECUTE", f"s{n}", 0, now, now)
            for n in range(per_agent - 1)
        ]
        stream = Stream("default", "state", "agent", agent_id)
        cause = Cause("default", process.new_id(), "service:bench", now)
        sequence = (await log.append(stream, events, after=Head(), cause=cause)).sequence
    return sequence


async def comebacks(state: StateProcess, stub: Any, store_url: str, sequence: int) -> dict[str, float]:
    """Seconds until the store holds what the log of `sequence` events says."""
    look = pb.GetAgentStateRequest(agent_id="old-0", at_least_sequence=sequence)
    await stub.GetAgentState(look, metadata=ROLES, timeout=120)
    found: dict[str, float] = {"events": sequence}

    began = time.perf_counter()
    redis = store.connect(store_url)
    await redis.flushall()
    await redis.aclose()
    await stub.GetAgentState(look, metadata=ROLES, timeout=120)
    found["after FLUSHALL"] = time.perf_counter() - began

    began = time.perf_counter()
    await stub.RebuildStore(pb.RebuildStoreRequest(), metadata=ROLES, timeout=120)
    found["RebuildStore"] = time.perf_counter() - began

    state.kill()
    process_fakes.READY_SECONDS = 300.0  # how long it takes is what is measured
    began = time.perf_counter()
    await asyncio.to_thread(state.start)
    found["start anew"] = time.perf_counter() - began
    return found


async def measure(count: int, rounds: int, events: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        nats, valkey = NatsServer(home), ValkeyServer(home)
        nats.start()
        valkey.start()
        state = StateProcess(home, nats.url, valkey.url, **FITTED)
        connection = await connect(nats.url, name="bench")
        try:
            await ensure_stream(connection)
            state.start()
            async with client.channel(state.address, internal_key=KEY) as channel:
                stub: Any = StateServiceStub(channel)
                before, began = cpu_seconds(state.pid), time.perf_counter()
                found = await advances(connection, stub, count, rounds)
                cpu = (cpu_seconds(state.pid) - before) / (count * rounds * len(TARGETS)) * 1e6
                verify: Any = pb.VerifyStoreRequest()
                verdict = await stub.VerifyStore(verify, metadata=ROLES, timeout=60)
                assert verdict.equal, verdict
                back = await comebacks(state, stub, valkey.url, await history(connection, events))
        finally:
            await connection.close()
            state.stop()
            valkey.stop()
            nats.stop()
    print(f"{time.perf_counter() - began:.0f} s; the store was equal to the log afterwards")
    rates = {f"{each} in flight": table(both) for each, both in found.items()}
    return {"cpu_us_per_advance": cpu, "comes back in seconds": back, **rates}


def table(both: dict[str, Rounds]) -> dict[str, float]:
    bare, ours = (statistics.median(both[name].per_second) for name in ("bare publish", "Advance"))
    milliseconds = statistics.quantiles(both["Advance"].milliseconds, n=100)
    return {
        "bare": bare,
        "advance": ours,
        "share": ours / bare,
        "p50_ms": milliseconds[49],
        "p99_ms": milliseconds[98],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--advances", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    measured = uvloop.run(measure(options.advances, options.rounds, options.events))
    print(f"{'':<16}{'bare/s':>10}{'Advance/s':>11}{'share':>8}{'goal':>7}{'p50 ms':>9}{'p99 ms':>9}")
    for in_flight, goal in TARGETS.items():
        row = measured[f"{in_flight} in flight"]
        print(
            f"{in_flight:>3} in flight   {row['bare']:>10,.0f}{row['advance']:>11,.0f}{row['share']:>8.2f}{goal:>7.2f}"
            f"{row['p50_ms']:>9.2f}{row['p99_ms']:>9.2f}"
        )
    print(
        f"CPU of the state process: {measured['cpu_us_per_advance']:.0f} µs per Advance, following and store included"
    )
    back = measured["comes back in seconds"]
    print(", ".join(f"{what}: {value:,.1f}" for what, value in back.items()), "(seconds)")
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(measured, indent=2) + "\n")
    return ended(measured[f"{in_flight} in flight"]["share"] >= goal for in_flight, goal in TARGETS.items())


if __name__ == "__main__":
    sys.exit(main())
