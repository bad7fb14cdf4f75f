"""What a run of the cluster's test measured, scenario by scenario: a table at the end, and a file if one is named."""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

FILE = "PROVOST_CLUSTER_FIGURES"
"""Names the file, in the environment."""
_COLUMNS = "without an answer", "slowest caller", "ledger behind", "healthy after"


@dataclass
class Figure:
    """Seconds of one scenario; None where there is nothing to measure.

    The longest in which no caller was answered, in which one caller waited for one run, and in which the ledger told of
    no newer run; and how long after it was hurt everything was healthy again.
    """

    what: str
    without_an_answer: float | None = None
    slowest_caller: float | None = None
    ledger_behind: float | None = None
    healthy_after: float | None = None


@dataclass
class Figures:
    """In the order in which they were measured."""

    measured: list[Figure] = field(default_factory=list)
    counted: dict[str, float] = field(default_factory=dict)

    def about(self, what: str) -> Figure:
        """A new one, still to be filled in."""
        self.measured.append(Figure(what))
        return self.measured[-1]

    def table(self) -> str:
        """As Markdown."""
        rows = [["seconds", *_COLUMNS], ["---", *["--:"] * len(_COLUMNS)]]
        for each in self.measured:
            values = each.without_an_answer, each.slowest_caller, each.ledger_behind, each.healthy_after
            rows.append([each.what, *("" if value is None else f"{value:.1f}" for value in values)])
        lines = ["| " + " | ".join(row) + " |" for row in rows]
        return "\n".join([*lines, "", *(f"{name}: {value:,.6g}" for name, value in self.counted.items())])

    def write(self) -> None:
        """To the file that the environment names, if it names one."""
        if name := os.environ.get(FILE):
            told = {"seconds": [asdict(each) for each in self.measured], "counted": self.counted}
            Path(name).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
