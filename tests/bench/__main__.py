"""`make bench`: every bench, one after the other, each against its limit in the same run.

Prints their tables and writes `bench-results/<name>.json`. A number that falls short is said in the table and is no
failure; a bench that cannot run is one.

    python -m tests.bench                      all of them (about eight minutes on two cores)
    python -m tests.bench process_log ledger   some
"""

import subprocess
import sys
from pathlib import Path

RESULTS = Path("bench-results")
BENCHES = (
    "echo",
    "eventlog",
    "authorize",
    "authorize_scale",
    "revoke",
    "simulate",
    "budgets",
    "state",
    "state_rebuild",
    "state_load",
    "state_reads",
    "state_watch",
    "stuck",
    "ledger",
    "questions",
    "process_log",
    "start",
    "analysis",
)


def main() -> int:
    chosen = sys.argv[1:] or list(BENCHES)
    unknown = [name for name in chosen if name not in BENCHES]
    if unknown:
        print(f"no bench is called {unknown[0]!r}; there are: {', '.join(BENCHES)}", file=sys.stderr)
        return 2
    RESULTS.mkdir(exist_ok=True)
    broken = []
    for name in chosen:
        print(f"\n── {name} " + "─" * (70 - len(name)), flush=True)
        command = [sys.executable, "-m", f"tests.bench.{name}", "--json", str(RESULTS / f"{name}.json")]
        done = subprocess.run(command, check=False)
        if done.returncode not in (0, 1):  # 1: ran, and fell short
            broken.append(f"{name} (exit code {done.returncode})")
    if broken:
        print(f"\ncould not run: {', '.join(broken)}", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
