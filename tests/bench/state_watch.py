"""What many open watches cost one state process: its memory, and how long one event takes to reach all of them.

python -m tests.bench.state_watch [--watches 10000] [--events 5] [--json FILE]

Half of the watches are for a whole tenant, half for one task of it. Their readers are four processes of their own, on
the same machine. While every event goes out, another client reads agents all the time: how long the slowest of those
reads takes shows whether watches keep others from their turn.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import grpc.aio
import uvloop

from chassis.embedded.services import FITTED
from chassis.eventlog.connection import connect
from chassis.eventlog.stream import ensure_stream
from chassis.rpc import client
from chassis.rpc.cause import INTERNAL_KEY
from provost.state.v1 import state_pb2 as pb
from provost.state.v1.state_pb2_grpc import StateServiceStub
from tests.bench.echo import cpu_seconds
from tests.bench.state import ROLES, locked
from tests.bench.verdict import ended
from tests.fakes.nats_server import NatsServer
from tests.fakes.valkey_server import ValkeyServer
from tests.integration.state.process import KEY, StateProcess

MAX_MEGABYTES, MAX_SECONDS = 400, 2.0
READERS, AT_ONCE = 4, 100
IDLE_SECONDS = 20.0


def megabytes(pid: int) -> float:
    """What the process alone holds, and its share of what it holds with others (PSS)."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    (kilobytes,) = [line.split()[1] for line in lines if line.startswith("Pss:")]
    return int(kilobytes) / 1024


async def read(address: str, watches: int, events: int) -> None:
    """One reader: opens its watches, then says when the last of them has told of each event."""
    channels = [
        grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) for _ in range(2)
    ]
    stubs: list[Any] = [StateServiceStub(channel) for channel in channels]
    metadata = (*ROLES, (INTERNAL_KEY, KEY))
    calls: list[Any] = []
    for n in range(watches):
        request = pb.WatchRequest(task_id="bench" if n % 4 < 2 else "")
        calls.append(stubs[n % 2].Watch(request, metadata=metadata))
        if len(calls) % AT_ONCE == 0 or len(calls) == watches:  # gRPC refuses when too many come at once
            for call in calls[n // AT_ONCE * AT_ONCE :]:
                assert (await call.read()).snapshot_complete
    print("open", flush=True)
    for n in range(events):
        await asyncio.gather(*(_told(call, f"step-{n}") for call in calls))
        print(time.time(), flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    for call in calls:
        call.cancel()
    for channel in channels:
        await channel.close()


async def _told(call: Any, step: str) -> None:
    while True:
        answer = await call.read()
        if any(change.agent.step == step for change in answer.changes):
            return


async def look(stub: Any, milliseconds: list[float]) -> None:
    request = pb.GetAgentStateRequest(agent_id="sre-1")
    while True:
        began = time.perf_counter()
        await stub.GetAgentState(request, metadata=ROLES, timeout=10)
        milliseconds.append((time.perf_counter() - began) * 1000)
        await asyncio.sleep(0.005)


async def spread(state: StateProcess, stub: Any, watches: int, events: int) -> dict[str, Any]:
    token = await locked(stub, "sre-1")
    empty = megabytes(state.pid)
    command = [sys.executable, "-m", "tests.bench.state_watch", "--events", str(events), "--read"]
    began = time.perf_counter()
    readers = [
        await asyncio.create_subprocess_exec(
            *command,
            f"{state.address}/{watches // READERS}",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        for _ in range(READERS)
    ]
    for reader in readers:
        assert (await _line(reader)) == "open", "a reader has failed"
    opened = time.perf_counter() - began
    held, before, still = megabytes(state.pid), cpu_seconds(state.pid), time.perf_counter()
    while (idle_seconds := time.perf_counter() - still) < IDLE_SECONDS:
        await asyncio.sleep(0.1)
    idle = (cpu_seconds(state.pid) - before) / idle_seconds * 100
    before, seconds, milliseconds = cpu_seconds(state.pid), [], list[float]()
    for n in range(events):
        looking = asyncio.create_task(look(stub, milliseconds))
        request = pb.AdvanceRequest(
            request_id=f"bench-{n}",
            agent_id="sre-1",
            task_id="bench",
            run_id="run-1",
            phase="EXECUTE",
            step=f"step-{n}",
            fencing_token=token,
            lease_seconds=600,
        )
        at = time.time()
        await stub.Advance(request, metadata=ROLES)
        seconds.append(max([float(await _line(reader)) for reader in readers]) - at)
        looking.cancel()
    cpu = (cpu_seconds(state.pid) - before) / events / watches * 1e6
    peak = megabytes(state.pid)
    for reader in readers:
        assert reader.stdin is not None
        reader.stdin.close()
        await reader.wait()
    return {
        "watches": watches,
        "open_seconds": opened,
        "megabytes_before": empty,
        "megabytes": max(held, peak),
        "bytes_per_watch": (max(held, peak) - empty) * 1024 * 1024 / watches,
        "signs_of_life_cpu_percent": idle,
        "event_to_all_seconds": statistics.median(seconds),
        "event_to_all_slowest_seconds": max(seconds),
        "cpu_us_per_watch_and_event": cpu,
        "reads_meanwhile_p50_ms": statistics.median(milliseconds),
        "reads_meanwhile_p99_ms": statistics.quantiles(milliseconds, n=100)[98],
    }


async def _line(reader: asyncio.subprocess.Process) -> str:
    assert reader.stdout is not None
    return (await reader.stdout.readline()).decode().strip()


async def measure(watches: int, events: int) -> dict[str, Any]:
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
                return await spread(state, StateServiceStub(channel), watches, events)
        finally:
            await connection.close()
            state.stop()
            valkey.stop()
            nats.stop()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--watches", type=int, default=10_000)
    parser.add_argument("--events", type=int, default=5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--read", metavar="ADDRESS/WATCHES", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.read:
        address, _, watches = options.read.rpartition("/")
        uvloop.run(read(address, int(watches), options.events))
        return 0
    measured = uvloop.run(measure(options.watches, options.events))
    goals = {"megabytes": MAX_MEGABYTES, "event_to_all_seconds": MAX_SECONDS}
    for name, value in measured.items():
        goal = f"   (goal: at most {goals[name]:g})" if name in goals else ""
        print(f"{name:<32}{value:>12,.2f}{goal}")
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(measured, indent=2) + "\n")
    return ended(measured[name] <= goal for name, goal in goals.items())


if __name__ == "__main__":
    sys.exit(main())
