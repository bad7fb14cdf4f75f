"""`python -m tests.bench.cluster`: what a decision and a run cost in the compose cluster, with 1, 2 and 3 replicas.

python -m tests.bench.cluster [--seconds 10] [--json bench-results/cluster.json]

Needs what `make test-system` needs; nine minutes. On two cores, which callers use as well, more replicas cannot do
more work: processor time by service says what limits it, and `tests.bench.capacity` what a larger machine would do.
Prints tables in Markdown.
"""

import argparse
import asyncio
import json
import math
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

import httpx2 as httpx

from provost.policy.v1 import policy_pb2
from provost_sdk import Provost
from tests.bench.capacity import BUSY, Single, capacity, cost
from tests.bench.process_log import fixed_log
from tests.system.cluster.engine import Engine
from tests.system.cluster.images import build
from tests.system.cluster.stack import SCALED, Stack

REPLICAS = 1, 2, 3
IN_FLIGHT = {"Authorize": 32, "process_log": 8}
IDLE_SECONDS, IDLE_TRIES = 5.0, 8
WARM_UP_SECONDS = 3.0
HOSTS, CORES = 3, 8
AGENT = "sre-5"
ONE_WRITES = "ledger"
ONE_CORE = ("ledger", "actuators", "agents", "store", "postgres")
"""Of which one works, on one core: of PostgreSQL the connection of the ledger. Other servers use their machine's."""

Call = Callable[[int], Awaitable[bool]]
"""Whether the answer is a yes; a no for any other reason than that nobody could be asked in time ends the bench."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Of one call, with so many replicas; `seconds` are of processor, by container (`policy 2`).

    `idle` is how many cores are busy without any call; that is not in `seconds`.
    """

    what: str
    replicas: int
    per_second: float
    p50_ms: float
    p99_ms: float
    refused: float
    events: float
    client: float
    idle: float
    seconds: Mapping[str, float]

    def of(self, service: str) -> float:
        """All its containers together."""
        return sum(cost for name, cost in self.seconds.items() if name.rpartition(" ")[0] == service)

    def busiest(self, service: str) -> float:
        """Of its containers the one that does most."""
        return max(cost for name, cost in self.seconds.items() if name.rpartition(" ")[0] == service)

    @property
    def services(self) -> list[str]:
        return list(dict.fromkeys(name.rpartition(" ")[0] for name in sorted(self.seconds)))


async def for_a_while(call: Call, in_flight: int, seconds: float) -> tuple[list[float], int]:
    """Callers that each call again and again: how long each call took, seconds, and how many were refused."""
    took: list[float] = []
    refused = 0
    until = time.perf_counter() + seconds

    async def caller(number: int) -> None:
        nonlocal refused
        while (begun := time.perf_counter()) < until:
            refused += not await call(number)
            took.append(time.perf_counter() - begun)

    await asyncio.gather(*map(caller, range(in_flight)))
    return took, refused


async def idling(stack: Stack) -> dict[str, float]:
    """How many cores each container keeps busy while nothing is asked, once what it did at its start is done."""
    names = list(stack.names())
    then, before, found = stack.engine.processor_seconds(names), math.inf, dict[str, float]()
    for _ in range(IDLE_TRIES):
        await asyncio.sleep(IDLE_SECONDS)
        now = stack.engine.processor_seconds(names)
        used = {name: _between(*each) for name, *each in zip(names, then, now, strict=True)}
        found = {name: cpu / passed for name, (cpu, passed) in used.items()}
        if abs(before - sum(found.values())) < 0.1 * sum(found.values()):
            break
        then, before = now, sum(found.values())
    return found


def _between(then: tuple[float, datetime], now: tuple[float, datetime]) -> tuple[float, float]:
    """Seconds of processor, and seconds."""
    return now[0] - then[0], (now[1] - then[1]).total_seconds()


async def measured(
    stack: Stack, what: str, replicas: int, call: Call, seconds: float, idle: Mapping[str, float]
) -> Measured:
    await for_a_while(call, IN_FLIGHT[what], WARM_UP_SECONDS)
    names = stack.names()
    before, first, own = stack.engine.processor_seconds(list(names)), stack.last_sequence(), _own_seconds()
    begun = time.perf_counter()
    took, refused = await for_a_while(call, IN_FLIGHT[what], seconds)
    passed = time.perf_counter() - begun
    own = _own_seconds() - own
    after, last = stack.engine.processor_seconds(list(names)), stack.last_sequence()
    used = []
    for name, then, now in zip(names, before, after, strict=True):
        cpu, lay = _between(then, now)
        used.append(cpu - lay * idle[name])
    return Measured(
        what,
        replicas,
        per_second=len(took) / passed,
        p50_ms=1000 * statistics.median(took),
        p99_ms=1000 * statistics.quantiles(took, n=100)[98],
        refused=refused / len(took),
        events=(last - first) / len(took),
        client=own / len(took),
        idle=sum(idle.values()),
        seconds={name: each / len(took) for name, each in zip(names.values(), used, strict=True)},
    )


def _own_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def authorizing(stack: Stack, held: AsyncExitStack) -> Call:
    """Decisions asked for at the gateways in turn, each durable, with a permit."""

    async def to(role: str) -> list[Provost]:
        where = (f"{host}:{port}" for host, port in stack.addresses("gateway", 7000))
        return [await held.enter_async_context(Provost(each, stack.key(role))) for each in where]

    operators, (admin, *_) = await to("operator"), await to("admin")
    run = await operators[0].process_log("all is well", agent=AGENT, strategy="classic")  # brings a packet
    made = await admin.create_secret(AGENT)
    token = (await operators[0].open_session(made.role_id, made.secret_id)).session_token
    turn = count()

    async def call(_number: int) -> bool:
        answer = await operators[next(turn) % len(operators)].authorize(
            AGENT, "diagnostics.memory", session_token=token, task=run.task_id, run=run.run_id
        )
        allowed = answer.decision.verdict == policy_pb2.VERDICT_ALLOW
        # The OPA server has 250 ms to answer; where it has no processor to itself that is not always enough.
        assert allowed or answer.decision.reason == "OPA_UNREACHABLE", answer
        return allowed

    return call


async def processing(stack: Stack, held: AsyncExitStack) -> Call:
    """Whole governed runs over REST, at the gateways in turn."""
    body = json.dumps({"log": fixed_log(), "mode": "safe", "llm_config": {"strategy": "classic"}}).encode()
    headers = {"X-API-Key": stack.key("operator"), "Content-Type": "application/json"}
    clients = [
        await held.enter_async_context(
            httpx.AsyncClient(base_url=f"http://{host}:{port}", headers=headers, timeout=60)
        )
        for host, port in stack.addresses("gateway", 5000)
    ]

    async def call(number: int) -> bool:
        answer = await clients[number % len(clients)].post("/api/process_log", content=body)
        if answer.status_code != 200:
            raise SystemExit(f"HTTP {answer.status_code}: {answer.text[:500]}")
        return True

    return call


async def with_replicas(stack: Stack, replicas: int, seconds: float) -> list[Measured]:
    stack.up({service: min(replicas, 2) if service == ONE_WRITES else replicas for service in SCALED})
    idle = await idling(stack)
    async with AsyncExitStack() as held:
        calls = {"Authorize": await authorizing(stack, held), "process_log": await processing(stack, held)}
        return [await measured(stack, what, replicas, call, seconds, idle) for what, call in calls.items()]


def throughput(rows: list[Measured]) -> str:
    """One row for each number of replicas: what was reached, and where the processors' time went."""
    lines = [
        "| | replicas | a second | p50 ms | p99 ms | refused | events | cores idle | processor ms for one | of it |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|---|",
    ]
    for row in rows:
        most = sorted(row.services, key=row.of, reverse=True)[:8]
        spent = ", ".join(f"{name} {1000 * row.of(name):.2f}" for name in most)
        together = 1000 * sum(row.seconds.values())
        lines.append(
            f"| {row.what} | {row.replicas} | {row.per_second:.1f} | {row.p50_ms:.0f} | {row.p99_ms:.0f} "
            f"| {row.refused:.1%} | {row.events:.2f} | {row.idle:.2f} | {together:.2f} "
            f"| {spent}; callers {1000 * row.client:.2f} |"
        )
    return "\n".join(lines)


def on_paper(rows: list[Measured]) -> tuple[str, list[dict[str, Any]]]:
    """What `HOSTS` machines of `CORES` cores would carry of each, as a table and as it is."""
    lines = [
        f"| {HOSTS} machines of {CORES} cores, {BUSY:.0%} busy | a second | limited by | replicas | events a second |",
        "|---|--:|---|---|--:|",
    ]
    told: list[dict[str, Any]] = []
    for what in IN_FLIGHT:
        mine = [row for row in rows if row.what == what]
        scaled = {
            name: cost([(row.replicas, row.of(name)) for row in mine])
            for name in SCALED
            if name != ONE_WRITES
        }
        alone = [name for name in mine[-1].services if name not in scaled]
        single = {
            name: Single(
                statistics.fmean(row.busiest(name) for row in mine), 1 if name in ONE_CORE else CORES
            )
            for name in alone
        }
        found = capacity(scaled, single, HOSTS * CORES - math.ceil(mine[-1].idle))
        events = statistics.fmean(row.events for row in mine) * found.per_second
        replicas = ", ".join(f"{name} {number}" for name, number in found.replicas.items())
        lines.append(f"| {what} | {found.per_second:.0f} | {found.limit} | {replicas} | {events:.0f} |")
        costs = {name: asdict(each) for name, each in scaled.items()}
        ones = {name: asdict(each) for name, each in single.items()}
        told.append({"what": what, **asdict(found), "scaled": costs, "single": ones, "appends": events})
    return "\n".join(lines), told


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="of measuring, for each row")
    parser.add_argument("--json", type=Path, default=Path("bench-results/cluster.json"))
    given = parser.parse_args()
    engine, rows = Engine.there(), list[Measured]()
    try:
        build(engine)
        with tempfile.TemporaryDirectory() as place:
            stack = Stack(engine, "provost-bench", Path(place))
            try:
                for replicas in REPLICAS:
                    rows += asyncio.run(with_replicas(stack, replicas, given.seconds))
            finally:
                stack.down()
    finally:
        engine.stop()
    rows.sort(key=lambda row: (row.what, row.replicas))
    table, told = on_paper(rows)
    print(throughput(rows), table, sep="\n\n")
    given.json.parent.mkdir(parents=True, exist_ok=True)
    written = {"measured": [asdict(row) for row in rows], "on_paper": told}
    given.json.write_text(json.dumps(written, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
