"""What a whole governed run costs: a fixed log of 200 lines, classic, safe, over HTTP, everything durable.

python -m tests.bench.process_log [--runs 200] [--seconds 10] [--json FILE]
python -m tests.bench.process_log --url http://127.0.0.1:5000 --key KEY     (a system that runs, its rate limit off)

Without --url, a whole Provost is started in a temporary home, on free ports, as `make run` starts it, and what a run
costs each of its processes in CPU time is shown too: that says less about what else the machine does than the rest.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx2
import uvloop

from tests.bench.verdict import ended
from tests.e2e.embedded.embedded import Embedded

LINES = 200
WARM_UP = 30
IN_FLIGHT = 8
P50_MS = 40.0
PER_SECOND = 40.0

_ROUTINE = (
    "web-{host} nginx[811]: 10.0.{a}.{b} GET /orders/{n} 200 {ms}ms",
    "web-{host} app[2290]: INFO order {n} stored in {ms} ms",
    "web-{host} systemd[1]: Started Session {n} of user deploy.",
    "web-{host} CRON[{n}]: (root) CMD (/usr/local/bin/rotate-logs)",
)
_TROUBLE = (
    "web-{host} app[2290]: ERROR could not reach db-1:5432: Connection refused (attempt {n})",
    "web-{host} postgres[1207]: FATAL:  sorry, too many clients already",
    "web-{host} kernel: [{n}.410655] Out of memory: Killed process {n} (java) total-vm:8123456kB, anon-rss:6291456kB",
)


@dataclass(frozen=True, slots=True)
class Measured:
    """Milliseconds of one run at a time, and runs a second with several in flight.

    `cpu_ms` is what one of several in flight costs each process; empty when they are not known.
    """

    p50_ms: float
    p99_ms: float
    per_second: float
    p50_ms_in_flight: float
    runs: int
    cpu_ms: Mapping[str, float]


def fixed_log() -> str:
    """The same 200 lines every time: three in four are routine, and two troubles come with a rare third."""
    lines = []
    for n in range(LINES):
        trouble = n % 4 == 3
        kind = _TROUBLE[2 if n % 68 == 67 else n // 4 % 2] if trouble else _ROUTINE[n % 4]
        at = f"Mar 14 02:{n // 60:02d}:{n % 60:02d} "
        lines.append(at + kind.format(host=n % 3, a=n % 7, b=n * 13 % 250, n=4000 + n, ms=n * 7 % 90))
    return "\n".join(lines) + "\n"


async def run_once(client: httpx2.AsyncClient, body: bytes) -> float:
    """One run; returns its milliseconds."""
    begun = time.perf_counter()
    answer = await client.post("/api/process_log", content=body)
    took = (time.perf_counter() - begun) * 1000
    if answer.status_code != 200:
        raise SystemExit(f"HTTP {answer.status_code}: {answer.text[:500]}")
    return took


def cpu_seconds(pid: int) -> float:
    """What a process has used so far, all its threads together."""
    used = 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        try:
            used += int((thread / "schedstat").read_text().split()[0])
        except FileNotFoundError:
            continue  # it has ended since it was listed
    return used / 1e9


async def measure(url: str, key: str, pids: Mapping[str, int], runs: int, seconds: float) -> Measured:
    body = json.dumps({"log": fixed_log(), "mode": "safe", "llm_config": {"strategy": "classic"}}).encode()
    headers = {"X-API-Key": key, "Content-Type": "application/json"}
    async with httpx2.AsyncClient(base_url=url, headers=headers, timeout=60) as client:
        for _ in range(WARM_UP):
            await run_once(client, body)
        alone = [await run_once(client, body) for _ in range(runs)]
        used = {name: cpu_seconds(pid) for name, pid in pids.items()}
        begun, together = time.perf_counter(), list[float]()

        async def caller() -> None:
            while time.perf_counter() - begun < seconds:
                together.append(await run_once(client, body))

        await asyncio.gather(*(caller() for _ in range(IN_FLIGHT)))
        took = time.perf_counter() - begun
        cost = {name: cpu_seconds(pid) - used[name] for name, pid in pids.items()}
    return Measured(
        p50_ms=statistics.median(alone),
        p99_ms=statistics.quantiles(alone, n=100)[98],
        per_second=len(together) / took,
        p50_ms_in_flight=statistics.median(together),
        runs=len(alone) + len(together),
        cpu_ms={name: spent * 1000 / len(together) for name, spent in cost.items()},
    )


@contextmanager
def somewhere(url: str, key: str) -> Iterator[tuple[str, str, Mapping[str, int]]]:
    """Address and key of the system that was named, or of one made for this, and then its processes."""
    if url:
        yield url, key, {}
        return
    with tempfile.TemporaryDirectory() as directory:
        provost = Embedded(Path(directory) / "home", RATE_LIMIT_REQUESTS="0")
        try:
            provost.start()
            running = provost.run_json()
            yield str(running["http"]), provost.key("operator"), running["pids"]
            provost.stop()
        finally:
            provost.kill()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", default="", help="of a running gateway")
    parser.add_argument("--key", default="", help="an operator's key for it")
    parser.add_argument("--runs", type=int, default=200, help="one at a time")
    parser.add_argument("--seconds", type=float, default=10.0, help=f"with {IN_FLIGHT} in flight")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with somewhere(given.url, given.key) as (url, key, pids):
        found = uvloop.run(measure(url, key, pids, given.runs, given.seconds))
    print(f"{'process_log, 200 lines, classic, safe':<42}{'measured':>10}{'limit':>10}")
    quick, many = found.p50_ms <= P50_MS, found.per_second >= PER_SECOND
    for label, value, limit, good in (
        ("p50, 1 in flight (ms)", found.p50_ms, f"≤ {P50_MS:g}", quick),
        ("p99, 1 in flight (ms)", found.p99_ms, "", True),
        (f"runs a second, {IN_FLIGHT} in flight", found.per_second, f"≥ {PER_SECOND:g}", many),
        (f"p50, {IN_FLIGHT} in flight (ms)", found.p50_ms_in_flight, "", True),
    ):
        print(f"{label:<42}{value:>10.1f}{limit:>10}  {'' if not limit else 'ok' if good else 'SHORT'}")
    for name, cost in (
        {**found.cpu_ms, "all of them": sum(found.cpu_ms.values())}.items() if found.cpu_ms else ()
    ):
        print(f"{'CPU ms of a run, ' + name:<42}{cost:>10.1f}")
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        limits = {"p50_ms": P50_MS, "per_second": PER_SECOND}
        given.json.write_text(json.dumps({**asdict(found), "limits": limits}, indent=2) + "\n")
    return ended([quick, many])


if __name__ == "__main__":
    sys.exit(main())
