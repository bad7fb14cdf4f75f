"""BGL: lines flagged as alarms against the alert label, which is taken off before the log is analysed."""

from pathlib import Path
from typing import NamedTuple

from services.orchestrator.agents.flags import flagged
from tests.bench.analysis.loghub import sample

BASELINE_F1 = 0.58  # what flagging severity FATAL alone reaches


class Row(NamedTuple):
    """How well lines were flagged."""

    by: str
    flagged: int
    precision: float
    recall: float
    f1: float


def flagging(data: Path) -> list[Row]:
    """Ours beside severity FATAL alone."""
    log = sample(data, "BGL")
    fatal = [line for line, text in enumerate(log.raw, 1) if " FATAL " in text]
    return [
        _row("analysis", flagged("\n".join(log.raw)), log.alerts),
        _row("severity FATAL alone", fatal, log.alerts),
    ]


def _row(by: str, lines: list[int], alerts: list[bool]) -> Row:
    right = sum(alerts[line - 1] for line in lines)
    precision, recall = right / max(1, len(lines)), right / sum(alerts)
    return Row(by, len(lines), precision, recall, 2 * precision * recall / ((precision + recall) or 1.0))
