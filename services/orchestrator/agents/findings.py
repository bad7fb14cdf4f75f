"""Findings: what the kinds of a log show, gathered by rule, held against each rule's thresholds, with who and
what it is about.

What no rule explains but calls itself an error, or warns in words of failure, is a finding too (rule
`unexplained`).
"""

from __future__ import annotations

import re
from array import array

from services.orchestrator.agents.finding import ADDRESSED, UNEXPLAINED, Finding, severity_of
from services.orchestrator.agents.incident import Severity
from services.orchestrator.agents.levels import Level
from services.orchestrator.agents.matching import Shown, Sign
from services.orchestrator.agents.reading import Reading
from services.orchestrator.agents.rules import Rule, Rules
from services.orchestrator.agents.subjects import subjects_of
from services.orchestrator.agents.thresholds import enough, follows, tempered

_LEAST_SUSPECT = 3
_RESOLVED_WITHIN_LINES = 5_000


def find(reading: Reading, shown: list[Shown], rules: Rules) -> list[Finding]:
    """All findings of a log, in no order of weight. Lines below a rule's threshold go back to what their
    level says.
    """
    kinds_of: dict[int, list[int]] = {}
    loose: list[int] = []
    addressed: list[int] = []
    suspect: list[int] = []
    for number, sees in enumerate(shown):
        if reading.kinds[number].level is Level.DEBUG or not reading.kinds[number].count:
            continue
        grave = severity_of(sees, reading.kinds[number].level, rules) is not Severity.INFO
        if sees.sign is Sign.RULE:
            if grave:
                kinds_of.setdefault(sees.rule, []).append(number)
        elif sees.sign is Sign.ADDRESSED:
            addressed.append(number)
        elif grave:
            loose.append(number)
        elif sees.sign is Sign.FAILING and reading.kinds[number].level is Level.UNKNOWN:
            suspect.append(number)
    asked = {kind for kinds in kinds_of.values() for kind in kinds}
    lines_of = reading.lines_of(asked.union(loose, addressed, suspect))
    findings = []
    for number, kinds in sorted(kinds_of.items()):
        finding = _of_rule(rules.rules[number], kinds, lines_of, reading, shown, rules)
        if enough(finding, reading):
            findings.append(finding)
        elif (graver := tempered(finding, kinds, reading)) is not None:
            findings.append(graver)
        else:
            loose += [k for k in kinds if reading.kinds[k].level >= Level.ERROR]
    findings = [f for f in findings if follows(f, findings, reading)]
    if loose:
        findings += _unexplained(sorted(loose), lines_of, reading, shown, rules)
    if (
        sum(reading.kinds[k].count for k in suspect) >= max(_LEAST_SUSPECT, len(reading.lines) // 50)
        and not findings
    ):
        findings.append(_suspected(suspect, lines_of, reading))
    if addressed:
        findings.append(_spoken_to(addressed, lines_of, reading))
    return findings


def _gather(
    kinds: list[int], lines_of: dict[int, array[int]], reading: Reading
) -> tuple[array[int], dict[int, array[int]]]:
    groups: dict[int, array[int]] = {}
    for kind in kinds:
        groups.setdefault(reading.kinds[kind].group, array("i")).extend(lines_of[kind])
    if len(kinds) > 1:
        groups = {group: array("i", sorted(lines)) for group, lines in groups.items()}
    return array("i", sorted(line for lines in groups.values() for line in lines)), groups


def _of_rule(
    rule: Rule,
    kinds: list[int],
    lines_of: dict[int, array[int]],
    reading: Reading,
    shown: list[Shown],
    rules: Rules,
) -> Finding:
    lines, groups = _gather(kinds, lines_of, reading)
    severity = max(
        (severity_of(shown[k], reading.kinds[k].level, rules) for k in kinds), key=lambda s: s.rank
    )
    finding = Finding(rule.id, rule.cause, severity, rule.confidence, lines, groups, rule.says, source=rule)
    finding.subjects = subjects_of(rule, finding, reading)
    if rule.resolved_by is not None:
        finding.resolved = _is_resolved(rule.resolved_by, lines[-1], reading)
        if finding.resolved:
            finding.severity = min(severity, Severity.WARNING, key=lambda s: s.rank)
    return finding


def _is_resolved(pattern: re.Pattern[str], after: int, reading: Reading) -> bool:
    """Whether a later line says that it is over."""
    return any(
        pattern.search(reading.message(line).lower())
        for line in range(after + 1, min(len(reading.lines), after + _RESOLVED_WITHIN_LINES) + 1)
    )


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
        says = (
            "programs call {count} lines "
            + severity.value
            + " that no known failure explains, e.g. {template}"
        )
        found.append(
            Finding(f"{UNEXPLAINED}.{severity.value}", "application", severity, 0.5, lines, groups, says)
        )
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
