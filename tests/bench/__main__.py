"""`make bench`: every bench, one after the other, each against its limit in the same run.

Prints their tables and writes `bench-results/<name>.json`. A number that falls short is said, and is no failure: this
may be a slower machine. A bench that cannot run, or that finds something lost or overspent, is one.

    python -m tests.bench                      all of them (about eight minutes on two cores)
    python -m tests.bench process_log ledger   some
"""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.bench.verdict import FELL_SHORT

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
    "finished_runs",
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
    codes = {}
    for name in chosen:
        print(f"\n── {name} " + "─" * (70 - len(name)), flush=True)
        command = [sys.executable, "-m", f"tests.bench.{name}", "--json", str(RESULTS / f"{name}.json")]
        codes[name] = subprocess.run(command, check=False).returncode
    return judged(codes)


def judged(codes: Mapping[str, int]) -> int:
    """The exit code for all, by the exit code of each; says which fell short and which are broken."""
    short = [name for name, code in codes.items() if code == FELL_SHORT]
    broken = [f"{name} (exit code {code})" for name, code in codes.items() if code not in (0, FELL_SHORT)]
    if short:
        print(f"\nshort of a goal: {', '.join(short)}")
    if broken:
        print(f"\nbroken: {', '.join(broken)}", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
