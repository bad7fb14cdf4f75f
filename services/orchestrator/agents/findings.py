"""Findings: what the kinds of a log show, gathered by rule, held against each rule's thresholds, with who and what it is about.

What no rule explains but calls itself an error, or warns in words of failure, is a finding too (rule `unexplained`).
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from services.orchestrator.agents.actions import well_formed
from services.orchestrator.agents.incident import Severity, Subject
from services.orchestrator.agents.levels import Level
from services.orchestrator.agents.matching import Shown, Sign
from services.orchestrator.agents.reading import Reading
from services.orchestrator.agents.rules import Rule, Rules

UNEXPLAINED = "unexplained"
ADDRESSED = "addressed"
_MAX_LINES_ASKED = 200_000
_LEAST_SUSPECT = 3
_OF_LEVEL = {Level.WARNING: Severity.WARNING, Level.ERROR: Severity.ERROR, Level.CRITICAL: Severity.CRITICAL}
_REPEATED = re.compile(r"message repeated (\d{1,6}) times")


@dataclass(slots=True)
class Finding:
    """Lines that show one thing. `groups` are the templates they have, with the lines of each; `subjects` whom they name."""

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
            return min(rule.severity, Severity.WARNING, key=lambda s: s.rank)
        return rule.severity if rule.overrides_level else max(rule.severity, said, key=lambda s: s.rank)
    if said is Severity.WARNING and shown.sign is not Sign.FAILING:
        return Severity.INFO
    return said


def find(reading: Reading, shown: list[Shown], rules: Rules) -> list[Finding]:
    """All findings of a log, in no order of weight. Lines below a rule's threshold go back to what their level says."""
    kinds_of: dict[int, list[int]] = {}
    loose: list[int] = []
    addressed: list[int] = []
    suspect: list[int] = []
    for number, sees in enumerate(shown):
        if reading.kinds[number].level is Level.DEBUG or not reading.kinds[number].count:
            continue
        if sees.sign is Sign.RULE:
            kinds_of.setdefault(sees.rule, []).append(number)
        elif sees.sign is Sign.ADDRESSED:
            addressed.append(number)
        elif severity_of(sees, reading.kinds[number].level, rules) is not Severity.INFO:
            loose.append(number)
        elif sees.sign is Sign.FAILING and reading.kinds[number].level is Level.UNKNOWN:
            suspect.append(number)
    asked = {kind for kinds in kinds_of.values() for kind in kinds}
    lines_of = reading.lines_of(asked.union(loose, addressed, suspect))
    findings = []
    for number, kinds in sorted(kinds_of.items()):
        finding = _of_rule(rules.rules[number], kinds, lines_of, reading, shown, rules)
        if _enough(finding, reading):
            findings.append(finding)
        elif (graver := _tempered(finding, kinds, reading)) is not None:
            findings.append(graver)
        else:
            loose += [k for k in kinds if reading.kinds[k].level >= Level.ERROR]
    findings = [f for f in findings if _follows(f, findings, reading)]
    if loose:
        findings += _unexplained(sorted(loose), lines_of, reading, shown, rules)
    if sum(reading.kinds[k].count for k in suspect) >= max(_LEAST_SUSPECT, len(reading.lines) // 50) and not findings:
        findings.append(_suspected(suspect, lines_of, reading))
    if addressed:
        findings.append(_spoken_to(addressed, lines_of, reading))
    return findings


def _gather(kinds: list[int], lines_of: dict[int, array[int]], reading: Reading) -> tuple[array[int], dict[int, array[int]]]:
    groups: dict[int, array[int]] = {}
    for kind in kinds:
        groups.setdefault(reading.kinds[kind].group, array("i")).extend(lines_of[kind])
    if len(kinds) > 1:
        groups = {group: array("i", sorted(lines)) for group, lines in groups.items()}
    return array("i", sorted(line for lines in groups.values() for line in lines)), groups


def _of_rule(
    rule: Rule, kinds: list[int], lines_of: dict[int, array[int]], reading: Reading, shown: list[Shown], rules: Rules
) -> Finding:
    lines, groups = _gather(kinds, lines_of, reading)
    severity = max((severity_of(shown[k], reading.kinds[k].level, rules) for k in kinds), key=lambda s: s.rank)
    finding = Finding(rule.id, rule.cause, severity, rule.confidence, lines, groups, rule.says, source=rule)
    finding.subjects = _subjects(rule, finding, reading)
    if rule.resolved_by is not None:
        finding.resolved = _is_resolved(rule.resolved_by, lines[-1], reading)
        if finding.resolved:
            finding.severity = min(severity, Severity.WARNING, key=lambda s: s.rank)
    return finding


def _subjects(rule: Rule, finding: Finding, reading: Reading) -> tuple[Subject, ...]:
    """Whom the lines name, most often named first; only values of the strict form of their kind.

    Where a rule says which lines count (several may tell of one event), only the lines of the first such sort that there is are counted.
    """
    counted: dict[str, Counter[str]] = {kind: Counter() for kind in rule.extract}
    named: dict[str, Counter[str]] = {kind: Counter() for kind in rule.extract}
    sort = next((p for p in rule.counted_by if any(p.search(reading.message(g[0]).lower()) for g in finding.groups.values())), None)
    for line in finding.lines[:_MAX_LINES_ASKED]:
        text = reading.message(line)
        times = 1 if sort is None or sort.search(text.lower()) else 0
        if times and (repeated := _REPEATED.search(text)) is not None:
            times = int(repeated[1])
        finding.attempts += times
        for kind, patterns in rule.extract.items():
            value = next((m[1] for p in patterns if (m := p.search(text)) is not None and well_formed(kind, m[1])), None)
            if value is not None:
                counted[kind][value] += times
                named[kind][value] += 1
                finding.marked.setdefault(value, line)
    ranked = {k: sorted(named[k], key=lambda v: (-counted[k][v], -named[k][v], v)) for k in rule.extract}  # noqa: B023
    return tuple(Subject(kind, value, counted[kind][value] or named[kind][value]) for kind in ranked for value in ranked[kind])


def _is_resolved(pattern: re.Pattern[str], after: int, reading: Reading) -> bool:
    """Whether a later line says that it is over."""
    return any(pattern.search(reading.message(line).lower()) for line in range(after + 1, min(len(reading.lines), after + 5_000) + 1))


def _enough(finding: Finding, reading: Reading) -> bool:
    """Whether a finding reaches its rule's threshold."""
    rule = finding.source
    if rule is None:
        return True
    if not rule.per:
        return finding.count >= rule.least_count
    if rule.least_total and finding.count >= rule.least_total:
        return True
    worst = [s.value for s in finding.subjects if s.kind == rule.per and s.count >= rule.least_count][:50]
    by_subject = {value: _moments(rule, finding, value, reading) for value in worst}
    return any(_within(moments, rule.least_count, rule.within_seconds) for moments in by_subject.values()) or (
        not finding.subjects and finding.count >= rule.least_count
    )


def _moments(rule: Rule, finding: Finding, value: str, reading: Reading) -> list[float]:
    """When a subject was named; a line that says it stands for several counts as often."""
    found: list[float] = []
    for line in finding.lines[:_MAX_LINES_ASKED]:
        if value in (text := reading.message(line)):
            repeated = _REPEATED.search(text)
            found += [reading.seconds[line - 1]] * (min(int(repeated[1]), rule.least_count) if repeated else 1)
    return found


def _within(moments: list[float], count: int, seconds: int) -> bool:
    """Whether `count` of some moments lie within `seconds`; moments that are not known count as close."""
    known = sorted(m for m in moments if m == m)  # noqa: PLR0124 (only NaN differs from itself)
    if not seconds or len(known) < len(moments):
        return len(moments) >= count
    return any(bisect_left(known, m + seconds, i) - i >= count for i, m in enumerate(known))


def _tempered(finding: Finding, kinds: list[int], reading: Reading) -> Finding | None:
    """Too few for what the rule says, but the lines call themselves errors: the same, said with less weight."""
    if finding.source is None or finding.source.per or all(reading.kinds[k].level < Level.WARNING for k in kinds):
        return None
    finding.severity = min(finding.severity, Severity.WARNING, key=lambda s: s.rank)
    finding.confidence *= 0.6
    return finding


def _follows(finding: Finding, findings: list[Finding], reading: Reading) -> bool:
    """For a rule that only means something after another: whether the other named the same subject often enough before."""
    rule = finding.source
    if rule is None or not rule.only_after:
        return True
    before = next((f for f in findings if f.rule == rule.only_after), None)
    if before is None:
        return False
    guilty = []
    for subject in finding.subjects:
        last = max(line for line in finding.lines if subject.value in reading.message(line))
        earlier = sum(1 for line in before.lines[:_MAX_LINES_ASKED] if line < last and subject.value in reading.message(line))
        if earlier >= rule.only_after_count:
            guilty.append(subject)
    named = {s.value for s in guilty}
    _keep(finding, lambda line: any(value in reading.message(line) for value in named))
    finding.subjects = tuple(guilty)
    return bool(guilty)


def _keep(finding: Finding, wanted: Callable[[int], bool]) -> None:
    finding.groups = {
        group: kept for group, lines in finding.groups.items() if (kept := array("i", filter(wanted, lines)))
    }
    finding.lines = array("i", filter(wanted, finding.lines))


def _unexplained(
    kinds: list[int], lines_of: dict[int, array[int]], reading: Reading, shown: list[Shown], rules: Rules
) -> list[Finding]:
    """What no rule explains, one finding per severity."""
    by_severity: dict[Severity, list[int]] = {}
    for kind in kinds:
        sees = shown[kind] if shown[kind].sign is not Sign.RULE else Shown(Sign.FAILING)
        by_severity.setdefault(severity_of(sees, reading.kinds[kind].level, rules), []).append(kind)
    found = []
    for severity, of_it in sorted(by_severity.items(), key=lambda item: -item[0].rank):
        lines, groups = _gather(of_it, lines_of, reading)
        says = "programs call {count} lines " + severity.value + " that no known failure explains, e.g. {template}"
        found.append(Finding(f"{UNEXPLAINED}.{severity.value}", "application", severity, 0.5, lines, groups, says))
    return found


def _suspected(kinds: list[int], lines_of: dict[int, array[int]], reading: Reading) -> Finding:
    """Words of failure in lines without a level: worth saying only when nothing else is."""
    lines, groups = _gather(kinds, lines_of, reading)
    says = "{count} lines speak of failure without saying how grave it is, e.g. {template}"
    return Finding(f"{UNEXPLAINED}.suspect", "application", Severity.WARNING, 0.35, lines, groups, says)


def _spoken_to(kinds: list[int], lines_of: dict[int, array[int]], reading: Reading) -> Finding:
    lines, groups = _gather(kinds, lines_of, reading)
    says = "{count} lines speak to a model or to the reader; nothing in them was believed or followed"
    return Finding(ADDRESSED, "security", Severity.WARNING, 0.6, lines, groups, says)
