"""Budgets under load: 64 clients on one budget, over two policy replicas and a real nats-server; then with kill -9.

python -m tests.bench.budgets [--seconds 10] [--clients 64] [--json FILE]

Half of the clients draw with decisions and half without; each settles a part, all or nothing of what it got, or
forgets it. The budget begins anew every two seconds and is spent soon. In the end the log is counted by hand: not one
token more is spent than allowed in any window, and all that was set aside is charged, given back, or set aside still.
Ends with 1 if that is not so.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import uvloop

from chassis.eventlog.connection import connect
from chassis.eventlog.stream import ensure_stream
from chassis.eventlog.wire import Connection
from provost.policy.v1.policy_pb2_grpc import PolicyServiceStub
from tests.bench.echo import cpu_seconds
from tests.chaos.spenders import Spender, audited, prepare
from tests.fakes.nats_server import NatsServer
from tests.integration.policy.conftest import PolicyProcess
from tests.integration.policy.test_crash import put_packet

MOST, WINDOW_SECONDS = 2000, 2
KILL_EVERY_SECONDS = 2.5


async def measure(seconds: float, clients: int, kill: bool) -> dict[str, float]:
    """One round on an empty log. Raises AssertionError: overspent, lost, or done twice."""
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        nats = NatsServer(home)
        nats.start()
        connection = await connect(nats.url, name="bench")
        await ensure_stream(connection, max_bytes=8 * 1024**3)
        homes = [home / name for name in ("one", "two")]
        for each in homes:
            each.mkdir()
        replicas = [PolicyProcess(each, nats.url) for each in homes]
        try:
            for replica in replicas:
                replica.start()
            return await _round(replicas, connection, seconds, clients, kill)
        finally:
            await connection.close()
            for replica in replicas:
                replica.stop()
            nats.stop()


async def _round(
    replicas: Sequence[PolicyProcess], connection: Connection, seconds: float, clients: int, kill: bool
) -> dict[str, float]:
    async with AsyncExitStack() as stack:
        channels = [await stack.enter_async_context(each.channel()) for each in replicas]
        stub: Any = PolicyServiceStub(channels[0])
        books = await prepare(stub, lambda: put_packet(connection, "sre-1"), MOST, WINDOW_SECONDS)
        kills = 0
        began = time.perf_counter()
        until = began + seconds
        cpu = 0.0 if kill else sum(cpu_seconds(each.pid) for each in replicas)

        async def work(spender: Spender) -> None:
            while time.perf_counter() < until:
                await spender.once()

        async def keep_killing() -> None:
            nonlocal kills
            while time.perf_counter() + KILL_EVERY_SECONDS < until:
                await asyncio.sleep(KILL_EVERY_SECONDS)
                replica = replicas[kills % len(replicas)]
                kills += 1
                replica.kill()
                await asyncio.to_thread(replica.start)

        workers = [work(Spender(n, channels, books)) for n in range(clients)]
        await asyncio.gather(*workers, *([keep_killing()] if kill else []))
        took = time.perf_counter() - began
        cpu = 0.0 if kill else sum(cpu_seconds(each.pid) for each in replicas) - cpu
    counted = await audited(connection, books, MOST)
    return {
        "answers/s": books.answers / took,
        "granted/s": len(books.granted) / took,
        "settled/s": len(books.closed) / took,
        "refused/s": books.refused / took,
        "events/s": counted.events / took,
        "replicas' CPU, µs/answer": cpu / books.answers * 1e6,
        "asked again": books.repeated,
        "kills": kills,
        "windows": len(counted.highest),
        "highest in a window": max(counted.highest.values()),
        "allowed in a window": MOST,
        "tokens set aside": counted.asked,
        "charged": counted.charged,
        "given back": counted.given_back,
        "set aside still": sum(counted.live.values()),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found: dict[str, dict[str, float]] = {}
    for label, kill in (("as it is", False), ("with kill -9", True)):
        try:
            found[label] = uvloop.run(measure(options.seconds, options.clients, kill))
        except AssertionError as wrong:
            print(f"{label}: {wrong}", file=sys.stderr)
            return 1
    labels = list(found)
    print(f"{'one budget, two replicas':<28}" + "".join(f"{label:>16}" for label in labels))
    for name in found[labels[0]]:
        print(f"{name:<28}" + "".join(f"{found[label][name]:>16,.0f}" for label in labels))
    print("never overspent, nothing lost, nothing twice")
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
