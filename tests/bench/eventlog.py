"""What the log costs: appends against bare publishes in the same run, and how fast it is followed.

python -m tests.bench.eventlog [--appends 1500] [--rounds 3] [--events 200000] [--json FILE]
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import uvloop

from chassis.eventlog.aggregates import HeldAggregates
from chassis.eventlog.connection import connect
from chassis.eventlog.follower import Follower
from chassis.eventlog.jetstream import JetStreamLog
from chassis.eventlog.wire import Connection
from kernel.decider import Decider
from kernel.events import Head, Recorded, Stream
from tests.bench.verdict import ended
from tests.contract.eventlog.words import CODEC, SOURCE, StringValue, cause
from tests.fakes.nats_server import NatsServer, fresh_stream

IN_FLIGHT = 32
TEXT = "x" * 200
TARGETS = {"append, 1 in flight": 0.5, "append, 32 in flight": 0.5, "follow": 100_000}


@dataclass(frozen=True, slots=True)
class Say:
    text: str


SAYING: Decider[Say, int, StringValue] = Decider(
    "bench", "held", 0, lambda _, command: StringValue(command.text), lambda count, _: count + 1
)


async def rate(count: int, in_flight: int, one: Callable[[int, int], Awaitable[object]]) -> float:
    """Calls per second of `one(worker, n)`."""

    async def worker(number: int) -> None:
        for n in range(count // in_flight):
            await one(number, n)

    began = time.perf_counter()
    await asyncio.gather(*(worker(number) for number in range(in_flight)))
    return count // in_flight * in_flight / (time.perf_counter() - began)


async def appends(connection: Connection, count: int, rounds: int) -> dict[str, float]:
    """Medians over rounds that take turns, so that the machine's other work hits all alike."""
    jetstream = connection.jetstream()
    log = JetStreamLog(connection, CODEC, SOURCE)
    held = HeldAggregates(SAYING, log, CODEC)
    payload = StringValue(TEXT)
    bare_payload = CODEC.encode(payload)[2]
    heads: dict[str, Head] = {}

    async def bare(worker: int, n: int) -> None:
        await jetstream.publish(f"evt.acme.bench.bare.{worker}.StringValue", bare_payload)

    async def append(worker: int, n: int) -> None:
        key = f"{worker}"
        head = heads.get(key, Head())
        stream = Stream("acme", "bench", "plain", key)
        appended = await log.append(stream, (payload,), after=head, cause=cause(f"{key}-{head.version}"))
        heads[key] = Head(appended.sequence, head.version + 1)

    async def handle(worker: int, n: int) -> None:
        version = held.head("acme", f"{worker}").version
        await held.handle(f"{worker}", Say(TEXT), cause(f"{worker}-{version}"))

    measured: dict[str, list[float]] = {}
    for _ in range(rounds):
        for in_flight in (1, IN_FLIGHT):
            for name, one in (("bare publish", bare), ("append", append), ("held aggregate", handle)):
                label = f"{name}, {in_flight} in flight"
                measured.setdefault(label, []).append(await rate(count, in_flight, one))
    return {label: statistics.median(each) for label, each in measured.items()}


async def follows(connection: Connection, count: int) -> dict[str, float]:
    """Events per second out of the log, as they come and decoded."""
    log = JetStreamLog(connection, CODEC, SOURCE)
    stream = Stream("acme", "bench", "bulk", "one")
    several = [StringValue(TEXT)] * 500
    head = Head()
    for n in range(count // len(several)):
        appended = await log.append(stream, several, after=head, cause=cause(f"{n}"))
        head = Head(appended.sequence, head.version + len(several))

    async def raw(events: Sequence[Recorded]) -> None:
        """Nothing but being handed over."""

    async def decoded(events: Sequence[Recorded]) -> None:
        for each in events:
            CODEC.decode(each)

    measured = {}
    for name, deliver in (("follow", raw), ("follow and decode", decoded)):
        for _ in range(2):
            follower = Follower(connection, ("evt.>",), 0, deliver, name)
            began, cpu = time.perf_counter(), time.process_time()
            await follower.start()
            await follower.reached(head.sequence, timeout_seconds=300)
            measured[name] = head.sequence / (time.perf_counter() - began)
            # What the machine's other work takes away shows in the first number and not in this one.
            measured[f"{name}, per second of CPU"] = head.sequence / (time.process_time() - cpu)
            await follower.stop()
    return measured


async def measure(count: int, rounds: int, events: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as directory:
        server = NatsServer(Path(directory))
        server.start()
        try:
            connection = await connect(server.url, name="bench")
            await fresh_stream(connection, max_bytes=2 * 1024**3)
            measured = await appends(connection, count, rounds)
            await fresh_stream(connection, max_bytes=2 * 1024**3)
            measured |= await follows(connection, events)
            await connection.close()
        finally:
            server.stop()
    return measured


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--appends", type=int, default=1500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    measured = uvloop.run(measure(options.appends, options.rounds, options.events))
    print(f"{'what':<36}{'per second':>12}{'of bare':>10}{'target':>10}")
    for label, value in measured.items():
        bare = measured.get(f"bare publish, {label.partition(', ')[2]}")
        share = f"{value / bare:.2f}" if bare else ""
        print(f"{label:<36}{value:>12,.0f}{share:>10}{TARGETS.get(label, ''):>10}")
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(measured, indent=2) + "\n")
    return ended(
        (
            value / measured[f"bare publish, {label.partition(', ')[2]}"]
            if label.startswith("append")
            else value
        )
        >= TARGETS[label]
        for label, value in measured.items()
        if label in TARGETS
    )


if __name__ == "__main__":
    sys.exit(main())
