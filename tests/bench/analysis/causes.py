"""Each sample against what a careful reader finds in it (tests/truth/loghub.yaml): cause, lines cited, claims
not made, time.
"""

import re
import time
from pathlib import Path
from typing import Any, NamedTuple

from services.orchestrator.agents.incident import Analysis
from services.orchestrator.agents.reflection import analyse
from tests.bench.analysis.loghub import truths


class Row(NamedTuple):
    """One log, one strategy: what came out, how long it took, and what is wrong with it (nothing, when
    right).
    """

    log: str
    strategy: str
    cause: str
    severity: str
    confidence: float
    score: float
    milliseconds: float
    wrong: str


def causes(data: Path) -> list[Row]:
    """Two rows a log, one for each strategy."""
    rows = []
    for truth in truths():
        text = (data / truth["file"]).read_text("utf-8", "replace")
        if truth.get("strip_first_column"):
            text = "".join(line.split(" ", 1)[-1] for line in text.splitlines(keepends=True))
        for strategy in ("classic", "reflective"):
            start = time.perf_counter()
            found = analyse(text, strategy=strategy)
            took = (time.perf_counter() - start) * 1_000
            incident = found.incident
            rows.append(
                Row(
                    truth["log"],
                    strategy,
                    incident.cause,
                    incident.severity,
                    incident.confidence,
                    found.cycles[-1].score,
                    took,
                    "; ".join(mistakes(truth, found, text.split("\n"))),
                )
            )
    return rows


def mistakes(truth: dict[str, Any], found: Analysis, lines: list[str]) -> list[str]:
    """Where an analysis departs from the truth."""
    incident = found.incident
    wrong = []
    if incident.cause != truth["cause"]:
        wrong.append(f"cause {incident.cause}, not {truth['cause']}")
    if incident.severity not in truth["severity"]:
        wrong.append(f"severity {incident.severity}, not {' or '.join(truth['severity'])}")
    cited = [lines[evidence.line - 1] for evidence in incident.evidence]
    wrong += [
        f"cites fewer than {wanted['at_least']} lines like {wanted['matching']}"
        for wanted in truth["must_cite"]
        if sum(bool(re.search(wanted["matching"], line)) for line in cited) < wanted["at_least"]
    ]
    said = " ".join([incident.summary, *(claim.statement for claim in incident.claims)])
    wrong += [f"does not name {name}" for name in truth["must_name"] if name not in said]
    claimed = {claim.cause for claim in incident.claims}
    barred = set(truth["must_not_claim"])
    if "any" in barred and claimed:
        wrong.append(f"claims {sorted(claimed)}")
    wrong += [f"claims {cause}" for cause in sorted(claimed & barred)]
    wrong += [f"says {pattern}" for pattern in truth["must_not_say"] if re.search(pattern, said)]
    return wrong
