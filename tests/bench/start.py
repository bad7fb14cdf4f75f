"""How long the second start takes with a log of 10,000 events, and what all processes together hold in memory.

python -m tests.bench.start [--events 10000] [--starts 3] [--json FILE]
"""

import argparse
import json
import statistics
import sys
import tempfile
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.bench.verdict import ended
from tests.e2e.embedded.embedded import Embedded

MAX_SECONDS = 5.0
MAX_PSS_MIB = 600.0
LOG = "\n".join(
    f"2026-01-02T03:04:{n % 60:02d}Z ERROR db connection {n} refused by 10.0.0.7:5432" for n in range(40)
)


def run_once(provost: Embedded) -> int:
    """One governed run; returns the sequence of its last event."""
    request = urllib.request.Request(
        f"{provost.run_json()['http']}/api/process_log",
        data=json.dumps({"log": LOG, "mode": "safe", "llm_config": {"strategy": "classic"}}).encode(),
        headers={"Content-Type": "application/json", "X-API-Key": provost.key("operator")},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return int(json.load(answer)["sequence"])


def fill(provost: Embedded, events: int) -> int:
    """Run logs until the event log holds so many events; returns how many it holds."""
    reached = 0
    with ThreadPoolExecutor(8) as pool:
        while reached < events:
            reached = max(reached, *pool.map(run_once, [provost] * 16))
    return reached


def pss_mib(provost: Embedded) -> dict[str, float]:
    """Proportional set size of each process: shared pages are divided among those who share them."""
    pids = {**provost.run_json()["pids"], "supervisor": provost.pid}
    known = {pid: name for name, pid in pids.items()}
    return {
        known.get(pid, f"helper {pid}"): _pss_kib(pid) / 1024 for pid in sorted(provost.processes(), key=str)
    }


def _pss_kib(pid: int) -> int:
    return int(Path(f"/proc/{pid}/smaps_rollup").read_text().partition("\nPss:")[2].split()[0])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--starts", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        provost = Embedded(Path(directory) / "home", RATE_LIMIT_REQUESTS="1000000")
        try:
            first = provost.start()
            events = fill(provost, given.events)
            seconds, memory = [], {}
            for _ in range(given.starts):
                provost.stop()
                seconds.append(provost.start())
                memory = pss_mib(provost)
            slowest = "".join(line for line in provost.said if " ready " in line)
            provost.stop()
        finally:
            provost.kill()
    second, total = statistics.median(seconds), sum(memory.values())
    print(f"first start         {first:6.2f} s")
    print(
        f"start, {events:,} events {second:6.2f} s   (limit {MAX_SECONDS}) {'ok' if second <= MAX_SECONDS else 'SHORT'}"
    )
    print(slowest)
    for name, mib in sorted(memory.items(), key=lambda pair: -pair[1]):
        print(f"  {name:<18}{mib:7.1f} MiB")
    print(
        f"all processes       {total:6.1f} MiB (limit {MAX_PSS_MIB}) {'ok' if total <= MAX_PSS_MIB else 'SHORT'}"
    )
    if given.json:
        given.json.write_text(
            json.dumps(
                {
                    "first_start_seconds": first,
                    "second_start_seconds": seconds,
                    "events": events,
                    "pss_mib": memory,
                    "pss_total_mib": total,
                    "limits": {"second_start_seconds": MAX_SECONDS, "pss_total_mib": MAX_PSS_MIB},
                },
                indent=2,
            )
        )
    return ended([second <= MAX_SECONDS, total <= MAX_PSS_MIB])


if __name__ == "__main__":
    sys.exit(main())
