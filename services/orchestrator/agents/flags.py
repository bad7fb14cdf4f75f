"""Which lines of a log are alarms: lines that someone should be woken for, one by one."""

from __future__ import annotations

from services.orchestrator.agents.finding import severity_of
from services.orchestrator.agents.incident import Severity
from services.orchestrator.agents.levels import Level
from services.orchestrator.agents.matching import match
from services.orchestrator.agents.reading import read
from services.orchestrator.agents.rulebook import packaged


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
