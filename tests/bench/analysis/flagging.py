"""BGL: lines flagged as alarms against the alert label, which is taken off before the log is analysed."""

from pathlib import Path
from typing import NamedTuple

from services.orchestrator.agents.finding import severity_of
from services.orchestrator.agents.incident import Severity
from services.orchestrator.agents.levels import Level
from services.orchestrator.agents.matching import match
from services.orchestrator.agents.reading import read
from services.orchestrator.agents.rulebook import packaged
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


def flagged(text: str) -> list[int]:
    """The numbers of the lines that are critical, by a known failure or by their own level, tempered by each
    other.

    Lines that call themselves ordinary are no alarms whatever they say, nor are details of a fault
    (registers, stack frames), nor failures that are the asker's own (a program that does not exist) however
    loudly they are told. Where a log uses the gravest level, a line that calls itself less than that is no
    alarm either.
    """
    rules = packaged()
    reading = read(text)
    shown = match(reading, rules)
    graded = any(kind.level is Level.CRITICAL for kind in reading.kinds)
    telling = (
        {Level.CRITICAL, Level.UNKNOWN}
        if graded
        else {Level.CRITICAL, Level.UNKNOWN, Level.ERROR, Level.WARNING}
    )
    alarming = {
        number
        for number, kind in enumerate(reading.kinds)
        if kind.level in telling and severity_of(shown[number], kind.level, rules) is Severity.CRITICAL
    }
    return [line for line, kind in enumerate(reading.kind_of, 1) if kind in alarming]


def _row(by: str, lines: list[int], alerts: list[bool]) -> Row:
    right = sum(alerts[line - 1] for line in lines)
    precision, recall = right / max(1, len(lines)), right / sum(alerts)
    return Row(by, len(lines), precision, recall, 2 * precision * recall / ((precision + recall) or 1.0))
