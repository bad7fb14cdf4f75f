"""`python -m tests.bench.cluster`: what a run costs in the compose cluster, with 1, 2 and 3 replicas of what is scaled.

On two cores more replicas cannot do more work: processor seconds per run, by service, say what a larger machine would
do with the same work, and what limits it. Needs what `make test-system` needs. Prints a table, and writes
bench-results/cluster.json.
"""

import asyncio
import json
import os
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from tests.chaos.callers import Callers
from tests.system.cluster.engine import Engine
from tests.system.cluster.front import Front
from tests.system.cluster.images import build
from tests.system.cluster.stack import SCALED, Stack
from tests.unit.house.skeleton import REPOSITORY

RUNS = int(os.environ.get("RUNS", "120"))
AT_ONCE = 8
_CPUACCT = Path("/sys/fs/cgroup/cpuacct/docker")
_CPU_V2 = Path("/sys/fs/cgroup/system.slice")


def processor_seconds(stack: Stack) -> dict[str, float]:
    """Used so far, by service."""
    used: dict[str, float] = defaultdict(float)
    found = stack.engine.inspect(stack.compose("ps", "--quiet").split())
    for each in found:
        service = each["Config"]["Labels"]["com.docker.compose.service"]
        one = _CPUACCT / each["Id"] / "cpuacct.usage"
        if one.exists():
            used[service] += int(one.read_text()) / 1e9
        else:
            stat = _CPU_V2 / f"docker-{each['Id']}.scope" / "cpu.stat"
            used[service] += int(stat.read_text().split()[1]) / 1e6
    return used


async def measured(stack: Stack, replicas: int) -> dict[str, object]:
    stack.up(dict.fromkeys(SCALED, replicas) | {"ledger": min(replicas, 2)})
    front = Front(lambda: stack.addresses("gateway", 5000))
    await front.start()
    callers = Callers(
        front.url, stack.key("operator"), at_once=AT_ONCE, prefix=f"bench-{replicas}-{time.time():.0f}-"
    )
    asking = asyncio.create_task(callers.ask())
    await callers.more(20, 120)
    before, begun = processor_seconds(stack), time.monotonic()
    done = len(callers.acknowledged)
    await callers.more(RUNS, 300)
    done, took = len(callers.acknowledged) - done, time.monotonic() - begun
    after = processor_seconds(stack)
    callers.finish()
    await asking
    await front.stop()
    cost = {service: 1000 * (after[service] - before.get(service, 0.0)) / done for service in sorted(after)}
    return {"replicas": replicas, "runs_per_second": done / took, "processor_ms_per_run": cost}


def main() -> None:
    engine = Engine.there()
    try:
        build(engine)
        with tempfile.TemporaryDirectory() as place:
            stack = Stack(engine, "provost-bench", Path(place))
            try:
                rows = [asyncio.run(measured(stack, replicas)) for replicas in (1, 2, 3)]
            finally:
                stack.down()
    finally:
        engine.stop()
    print(f"{'replicas':>8} {'runs/s':>7}   processor ms per run, by service (of each all replicas)")
    for row in rows:
        cost = row["processor_ms_per_run"]
        assert isinstance(cost, dict)
        most = sorted(cost.items(), key=lambda each: -each[1])[:9]
        print(f"{row['replicas']:>8} {row['runs_per_second']:>7.1f}   {sum(cost.values()):.0f} in all: "
              + ", ".join(f"{name} {value:.1f}" for name, value in most))  # fmt: skip
    results = REPOSITORY / "bench-results"
    results.mkdir(exist_ok=True)
    (results / "cluster.json").write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
