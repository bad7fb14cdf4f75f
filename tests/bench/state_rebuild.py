"""How long state takes to come back from a log of a million events: from its beginning, and from a snapshot.

python -m tests.bench.state_rebuild [--events 1000000] [--json FILE]

Everything is real: state as a process, nats-server, a store that is emptied before each start.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import uvloop

from chassis import store
from chassis.embedded.services import FITTED
from chassis.eventlog.connection import connect
from chassis.eventlog.stream import ensure_stream
from chassis.rpc import client
from provost.state.v1 import state_pb2 as pb
from provost.state.v1.state_pb2_grpc import StateServiceStub
from tests.bench.echo import cpu_seconds
from tests.bench.state import ROLES, history
from tests.bench.verdict import ended
from tests.fakes import process as process_fakes
from tests.fakes.nats_server import NatsServer
from tests.fakes.valkey_server import ValkeyServer
from tests.fakes.wait import until
from tests.integration.state.process import KEY, StateProcess

LIMITS = {"cold": 60.0, "from a snapshot": 10.0}


def resident_megabytes(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise LookupError(pid)


async def started(state: StateProcess, store_url: str) -> float:
    """Seconds until it serves, the store filled."""
    redis = store.connect(store_url)
    await redis.flushall()
    await redis.aclose()
    began = time.perf_counter()
    await asyncio.to_thread(state.start)
    return time.perf_counter() - began


async def equal(state: StateProcess) -> None:
    async with client.channel(state.address, internal_key=KEY) as channel:
        stub: Any = StateServiceStub(channel)
        verdict = await stub.VerifyStore(pb.VerifyStoreRequest(), metadata=ROLES, timeout=300)
        assert verdict.equal, verdict


async def measure(events: int) -> dict[str, Any]:
    process_fakes.READY_SECONDS = 300.0  # how long it takes is what is measured
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        nats, valkey = NatsServer(home), ValkeyServer(home)
        nats.start()
        valkey.start()
        state = StateProcess(home, nats.url, valkey.url, **FITTED)
        try:
            connection = await connect(nats.url, name="bench")
            await ensure_stream(connection)
            await history(connection, events)
            await connection.close()
            cold = await started(state, valkey.url)
            after_cold, cold_cpu = resident_megabytes(state.pid), cpu_seconds(state.pid)
            began = time.perf_counter()
            await until(lambda: "snapshot taken" in (home / "state.log").read_text(), "no snapshot", 300)
            taken = time.perf_counter() - began
            state.stop()
            size = sum(path.stat().st_size for path in (home / "snapshots").rglob("*") if path.is_file())
            warm = await started(state, valkey.url)
            after_warm, warm_cpu = resident_megabytes(state.pid), cpu_seconds(state.pid)
            told = (home / "state.log").read_text()
            assert "state begins with a snapshot" in told, told[-4000:]
            await equal(state)
        finally:
            state.stop()
            valkey.stop()
            nats.stop()
    return {
        "events": events,
        "seconds": {
            "cold": cold,
            "of the processor, cold": cold_cpu,
            "of the processor, from a snapshot": warm_cpu,
            "from a snapshot": warm,
            "until a snapshot was taken": taken,
        },
        "megabytes": {
            "resident, cold": after_cold,
            "resident, from a snapshot": after_warm,
            "snapshot": size / 1e6,
        },
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    measured = uvloop.run(measure(options.events))
    print(f"{measured['events']:,} events; the store was equal to the log afterwards")
    for what, seconds in measured["seconds"].items():
        goal = f"(limit {LIMITS[what]:.0f} s a million)" if what in LIMITS else ""
        print(f"{what:<36}{seconds:>8.1f} s  {goal}")
    for what, megabytes in measured["megabytes"].items():
        print(f"{what:<36}{megabytes:>8.0f} MB")
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(measured, indent=2) + "\n")
    millions = measured["events"] / 1_000_000
    return ended(
        seconds <= LIMITS[what] * millions for what, seconds in measured["seconds"].items() if what in LIMITS
    )


if __name__ == "__main__":
    sys.exit(main())
