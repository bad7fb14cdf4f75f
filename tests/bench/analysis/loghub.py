"""The six sample logs of Loghub (Zhu et al., ISSRE 2023; github.com/logpai/loghub) and what is published
about them.
"""

import csv
import os
from collections import defaultdict
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML

SETS = ("OpenSSH", "OpenStack", "Linux", "Apache", "BGL", "HDFS")
TRUTH = Path(__file__).parents[2] / "truth" / "loghub.yaml"
DEFAULT = Path(__file__).parents[3].parent / "shared" / "data" / "loghub"


class LoghubIsMissing(SystemExit):
    """The logs are not there; says where they were looked for and how to name another place."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"no Loghub samples in {folder}: get the *_2k.log files with their structured CSVs from "
            "github.com/logpai/loghub and name their folder with --data or PROVOST_LOGHUB"
        )


class Sample(NamedTuple):
    """One log: its raw lines, the published content and template of each, and whether each carries an alert
    (BGL).
    """

    name: str
    raw: list[str]
    content: list[str]
    events: list[str]
    alerts: list[bool]


def folder(given: str | None) -> Path:
    """Where the logs are. Raises: LoghubIsMissing."""
    found = Path(given or os.environ.get("PROVOST_LOGHUB") or DEFAULT)
    if not all((found / name / f"{name}_2k.log").is_file() for name in SETS):
        raise LoghubIsMissing(found)
    return found


def sample(data: Path, name: str) -> Sample:
    """One log. BGL's first column, the alert label, is taken off its raw lines: it is the answer."""
    raw = (
        (data / name / f"{name}_2k.log")
        .read_text("utf-8", "replace")
        .replace("\r\n", "\n")
        .strip("\n")
        .split("\n")
    )
    with (data / name / f"{name}_2k.log_structured.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    alerts = [row.get("Label", "-") != "-" for row in rows]
    if name == "BGL":
        raw = [line.split(" ", 1)[1] for line in raw]
    assert len(raw) == len(rows) == 2_000
    return Sample(name, raw, [row["Content"] for row in rows], [row["EventId"] for row in rows], alerts)


def truths() -> list[dict[str, Any]]:
    """What a careful reader finds in each log (tests/truth/loghub.yaml)."""
    found: list[dict[str, Any]] = YAML(typ="safe", pure=True).load(TRUTH.read_text("utf-8"))
    return found


def grouping_accuracy(truth: Sequence[Hashable], found: Sequence[Hashable]) -> float:
    """The share of lines whose group holds exactly the lines that it should (Zhu et al., ICSE-SEIP 2019)."""
    wanted: dict[Hashable, list[int]] = defaultdict(list)
    given: dict[Hashable, list[int]] = defaultdict(list)
    for index, (right, group) in enumerate(zip(truth, found, strict=True)):
        wanted[right].append(index)
        given[group].append(index)
    groups = {tuple(lines) for lines in given.values()}
    return sum(len(lines) for lines in wanted.values() if tuple(lines) in groups) / len(truth)
