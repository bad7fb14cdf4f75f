"""A finding: lines of a log that show one thing; and how grave a line is."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

from services.orchestrator.agents.incident import Severity, Subject
from services.orchestrator.agents.levels import Level
from services.orchestrator.agents.matching import Shown, Sign
from services.orchestrator.agents.rules import Rule, Rules

UNEXPLAINED = "unexplained"
ADDRESSED = "addressed"
UNREADABLE = "unreadable"  # rule and class of cause
_OF_LEVEL = {Level.WARNING: Severity.WARNING, Level.ERROR: Severity.ERROR, Level.CRITICAL: Severity.CRITICAL}


@dataclass(slots=True)
class Finding:
    """Lines that show one thing. `groups` are the templates they have, with the lines of each; `subjects`
    whom they name.
    """

    rule: str
    cause: str
    severity: Severity
    confidence: float
    lines: array[int]
    groups: dict[int, array[int]]
    says: str
    subjects: tuple[Subject, ...] = ()
    source: Rule | None = None
    resolved: bool = False
    attempts: int = 0  # how many events the lines tell of, where a rule says which of them count
    marked: dict[str, int] = field(default_factory=dict)  # subject → a line that names it

    @property
    def count(self) -> int:
        """How many lines bear it out."""
        return len(self.lines)


def severity_of(shown: Shown, level: Level, rules: Rules) -> Severity:
    """How grave a line is: what its rule says, tempered by what the line says of itself."""
    said = _OF_LEVEL.get(level, Severity.INFO)
    if shown.sign in {Sign.BENIGN, Sign.DETAIL} or level is Level.DEBUG:
        return Severity.INFO
    if shown.sign is Sign.ADDRESSED:
        return Severity.WARNING
    if shown.sign is Sign.RULE:
        rule = rules.rules[shown.rule]
        if level in {Level.INFO, Level.NOTICE} and not rule.despite_level:
            most = Severity.WARNING if rule.doubts_ordinary else Severity.INFO
            return min(rule.severity, most, key=lambda s: s.rank)
        if rule.overrides_level:
            return rule.severity
        if rule.tempered and said is Severity.WARNING:
            return said
        return max(rule.severity, said, key=lambda s: s.rank)
    if said is Severity.WARNING and shown.sign is not Sign.FAILING:
        return Severity.INFO
    return said
