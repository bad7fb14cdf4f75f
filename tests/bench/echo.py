"""What everything around a method costs: a bare grpc.aio echo against `chassis.rpc.server`, in turns, same machine.

python -m tests.bench.echo [--seconds 3] [--in-flight 32] [--rounds 3] [--json FILE]
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import grpc.aio
import uvloop
from google.protobuf.wrappers_pb2 import StringValue
from pydantic import SecretStr

from chassis import process
from chassis.config import ServiceSettings
from chassis.rpc import client
from chassis.rpc.cause import metadata_of
from chassis.rpc.server import Server
from kernel.events import Cause
from tests.bench.verdict import ended
from tests.rpc.chassis.echo import Echo, EchoStub, add_echo_to_server

KEY = "bench"
TARGET = 0.85  # Authorize has to reach 0.7 of a bare echo, and it has its own work to do


class Measured(NamedTuple):
    calls_per_second: float
    p99_ms: float
    cpu_us: float


async def bare(stopping: process.Stopping) -> None:
    server = grpc.aio.server()
    add_echo_to_server(Echo(), server)
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    await server.start()
    await stopping.wait()
    await server.stop(1)


async def guarded(stopping: process.Stopping) -> None:
    server = Server(ServiceSettings(_env_file=None, internal_key=SecretStr(KEY)), "policy", port=0)
    server.add(add_echo_to_server, Echo())
    await server.start()
    print(server.port, flush=True)
    await stopping.wait()
    await server.stop()


async def load(port: int, seconds: float, in_flight: int) -> tuple[float, list[float]]:
    """Calls a second, and how long each took; the same client for both, with the metadata of an internal call."""
    cause = Cause("default", "r", "service:bench", process.now(), "run-1", "event-1")
    metadata = metadata_of(cause)
    latencies: list[float] = []
    async with client.channel(f"127.0.0.1:{port}", internal_key=KEY) as channel:
        say: Any = EchoStub(channel).Say
        request = StringValue(value="x" * 200)
        await say(request, timeout=5, metadata=metadata)
        until = time.perf_counter() + seconds

        async def one_caller() -> None:
            while (started := time.perf_counter()) < until:
                await say(request, timeout=5, metadata=metadata)
                latencies.append(time.perf_counter() - started)

        started = time.perf_counter()
        await asyncio.gather(*(one_caller() for _ in range(in_flight)))
        took = time.perf_counter() - started
    return len(latencies) / took, latencies


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(kind: str, seconds: float, in_flight: int) -> Measured:
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.echo", "--serve", kind], stdout=subprocess.PIPE
    )
    assert server.stdout is not None
    try:
        port = int(server.stdout.readline())
        before = cpu_seconds(server.pid)
        rate, latencies = uvloop.run(load(port, seconds, in_flight))
        cpu = (cpu_seconds(server.pid) - before) / len(latencies)
    finally:
        server.terminate()
        server.wait()
    return Measured(rate, statistics.quantiles(latencies, n=100)[98] * 1000, cpu * 1_000_000)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve", choices=("bare", "guarded"))
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--in-flight", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if given.serve:
        process.run(bare if given.serve == "bare" else guarded)
        return 0
    how = given.seconds, given.in_flight
    rounds = [(measure("bare", *how), measure("guarded", *how)) for _ in range(given.rounds)]
    rows = {kind: median([each[i] for each in rounds]) for i, kind in enumerate(("bare", "guarded"))}
    for kind, row in rows.items():
        print(
            f"{kind:<8} {row.calls_per_second:>8,.0f} calls/s   p99 {row.p99_ms:.1f} ms   "
            f"{row.cpu_us:.0f} µs of the server's CPU a call"
        )
    share = rows["guarded"].calls_per_second / rows["bare"].calls_per_second
    print(f"share    {share:>8.2f}   (target {TARGET}) {'ok' if share >= TARGET else 'SHORT'}")
    if given.json:
        table = {kind: row._asdict() for kind, row in rows.items()}
        given.json.write_text(json.dumps({**table, "share": share, "target": TARGET}, indent=2))
    return ended([share >= TARGET])


def median(measured: list[Measured]) -> Measured:
    return Measured(*(statistics.median(column) for column in zip(*measured, strict=True)))


if __name__ == "__main__":
    sys.exit(main())
