"""Whom and what a finding is about: addresses, units, paths that its lines name, and how often."""

from __future__ import annotations

import re
from collections import Counter

from services.orchestrator.agents.actions import well_formed
from services.orchestrator.agents.finding import Finding
from services.orchestrator.agents.incident import Subject
from services.orchestrator.agents.reading import Reading
from services.orchestrator.agents.rules import Rule

MAX_LINES_ASKED = 200_000
# What syslog writes for a line that came several times.
REPEATED = re.compile(r"message repeated (\d{1,6}) times")


def subjects_of(rule: Rule, finding: Finding, reading: Reading) -> tuple[Subject, ...]:
    """Whom the lines name, most often named first; only values of the strict form of their kind.

    Where a rule says which lines count (several may tell of one event), only the lines of the first such sort
    that there is are counted.
    """
    counted: dict[str, Counter[str]] = {kind: Counter() for kind in rule.extract}
    named: dict[str, Counter[str]] = {kind: Counter() for kind in rule.extract}
    starts = [reading.message(lines[0]).lower() for lines in finding.groups.values()]
    sort = next((p for p in rule.counted_by if any(p.search(start) for start in starts)), None)
    orders = {kind: list(patterns) for kind, patterns in rule.extract.items()}
    sound: dict[tuple[str, str], bool] = {}
    for line in finding.lines[:MAX_LINES_ASKED]:
        text = reading.message(line)
        times = 1 if sort is None or sort.search(text.lower()) else 0
        if times and "repeated" in text and (repeated := REPEATED.search(text)) is not None:
            times = int(repeated[1])
        finding.attempts += times
        for kind, patterns in orders.items():
            value = _named(kind, patterns, text, sound)
            if value:
                counted[kind][value] += times
                named[kind][value] += 1
                finding.marked.setdefault(value, line)
    subjects: list[Subject] = []
    for kind, names in named.items():
        times_of = counted[kind]
        ranked = sorted(names, key=lambda v: (-times_of[v], -names[v], v))
        subjects += [Subject(kind, value, times_of[value] or names[value]) for value in ranked]
    return tuple(subjects)


def _named(kind: str, patterns: list[re.Pattern[str]], text: str, sound: dict[tuple[str, str], bool]) -> str:
    """Whom a line names: the first value of the strict form that a pattern finds; empty when none does."""
    for pattern in patterns:
        if (m := pattern.search(text)) is not None:
            value = m[1]
            good = sound.get((kind, value))
            if good is None:
                good = sound[kind, value] = well_formed(kind, value)
            if good:
                return value
    return ""
