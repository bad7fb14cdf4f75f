"""The quality and speed of the analysis on the Loghub samples, as tables and, with --json, as a file.

python -m tests.bench.analysis [--data FOLDER] [--json FILE] [flagging] [grouping] [mining] [causes]

Answers 1 when a target is missed. drain3 is measured beside us when `.venv-drain3` has it.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from services.orchestrator.agents.reflection import analyse
from tests.bench.analysis.causes import causes
from tests.bench.analysis.flagging import BASELINE_F1, flagging
from tests.bench.analysis.grouping import grouping
from tests.bench.analysis.loghub import folder
from tests.bench.analysis.mining import mining
from tests.bench.analysis.peer import peer
from tests.bench.verdict import ended

BENCHES = ("causes", "flagging", "grouping", "mining")
LEAST_SHARE_OF_DRAIN3 = 0.6
MOST_MILLISECONDS = 2_000.0


class Table(NamedTuple):
    """What one bench measured, and whether it reached its target."""

    name: str
    target: str
    reached: bool
    rows: Sequence[Any]


def run(data: Path, wanted: Sequence[str]) -> list[Table]:
    """The benches asked for."""
    analyse("warm up: the rules are read once")
    other = peer() if {"grouping", "mining"} & set(wanted) else None
    tables = []
    try:
        if "causes" in wanted:
            found = causes(data)
            good = all(not row.wrong and row.milliseconds <= MOST_MILLISECONDS for row in found)
            tables.append(Table("causes", "as tests/truth/loghub.yaml says, in 2 s each", good, found))
        if "flagging" in wanted:
            flags = flagging(data)
            tables.append(Table("flagging", f"F1 above {BASELINE_F1}", flags[0].f1 > BASELINE_F1, flags))
        if "grouping" in wanted:
            groups = grouping(data, other)
            better = groups[-1].content > groups[-1].drain3_content
            tables.append(
                Table("grouping", "content: better on average than drain3's default", better, groups)
            )
        if "mining" in wanted:
            mined = mining(data, other)
            quick = all(row.share is None or row.share >= LEAST_SHARE_OF_DRAIN3 for row in mined)
            tables.append(
                Table(
                    "mining", f"at least {LEAST_SHARE_OF_DRAIN3} of drain3 with the same masks", quick, mined
                )
            )
    finally:
        if other is not None:
            other.close()
    if other is None and {"grouping", "mining"} & set(wanted):
        print("drain3 is not installed (.venv-drain3): its column is what was measured before, or empty")
    return tables


def shown(value: object) -> str:
    """One cell."""
    if isinstance(value, float):
        return f"{value:,.3f}" if abs(value) < 100 else f"{value:,.0f}"
    return "–" if value is None else str(value)


def show(table: Table) -> None:
    """Prints one table."""
    rows = [table.rows[0]._fields, *([shown(value) for value in row] for row in table.rows)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    print(f"\n{table.name} (target: {table.target}): {'reached' if table.reached else 'MISSED'}")
    for row in rows:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def main() -> int:
    """Reads the arguments, runs, prints; FELL_SHORT when a target is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "benches", nargs="*", metavar="BENCH", help=f"of {', '.join(BENCHES)}; all by default"
    )
    parser.add_argument("--data", help="the folder of the Loghub samples (PROVOST_LOGHUB)")
    parser.add_argument("--json", type=Path, help="write the rows to this file too")
    given = parser.parse_args()
    if unknown := set(given.benches) - set(BENCHES):
        parser.error(f"no such bench: {', '.join(sorted(unknown))}")
    tables = run(folder(given.data), given.benches or BENCHES)
    for table in tables:
        show(table)
    if given.json is not None:
        rows = {t.name: {"reached": t.reached, "rows": [row._asdict() for row in t.rows]} for t in tables}
        given.json.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")
    return ended(table.reached for table in tables)


if __name__ == "__main__":
    sys.exit(main())
