"""Whether there is enough of a finding for what its rule says: how many lines, of whom, within what time,
after what.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable

from services.orchestrator.agents.finding import Finding
from services.orchestrator.agents.incident import Severity
from services.orchestrator.agents.levels import Level
from services.orchestrator.agents.reading import Reading
from services.orchestrator.agents.rules import Rule
from services.orchestrator.agents.subjects import MAX_LINES_ASKED, REPEATED


def enough(finding: Finding, reading: Reading) -> bool:
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
    return any(
        _within(moments, rule.least_count, rule.within_seconds) for moments in by_subject.values()
    ) or (not finding.subjects and finding.count >= rule.least_count)


def _moments(rule: Rule, finding: Finding, value: str, reading: Reading) -> list[float]:
    """When a subject was named; a line that says it stands for several counts as often."""
    found: list[float] = []
    for line in finding.lines[:MAX_LINES_ASKED]:
        if value in (text := reading.message(line)):
            repeated = REPEATED.search(text)
            found += [reading.seconds[line - 1]] * (
                min(int(repeated[1]), rule.least_count) if repeated else 1
            )
    return found


def _within(moments: list[float], count: int, seconds: int) -> bool:
    """Whether `count` of some moments lie within `seconds`; moments that are not known count as close."""
    known = sorted(m for m in moments if m == m)  # noqa: PLR0124 (only NaN differs from itself)
    if not seconds or len(known) < len(moments):
        return len(moments) >= count
    return any(bisect_left(known, m + seconds, i) - i >= count for i, m in enumerate(known))


def tempered(finding: Finding, kinds: list[int], reading: Reading) -> Finding | None:
    """Too few for what the rule says, but the lines call themselves errors: the same, said with less weight."""
    if (
        finding.source is None
        or finding.source.per
        or all(reading.kinds[k].level < Level.WARNING for k in kinds)
    ):
        return None
    finding.severity = min(finding.severity, Severity.WARNING, key=lambda s: s.rank)
    finding.confidence *= 0.6
    return finding


def follows(finding: Finding, findings: list[Finding], reading: Reading) -> bool:
    """For a rule that only means something after another: whether the other named the same subject often
    enough before.
    """
    rule = finding.source
    if rule is None or not rule.only_after:
        return True
    before = next((f for f in findings if f.rule == rule.only_after), None)
    if before is None:
        return False
    guilty = []
    for subject in finding.subjects:
        last = max(line for line in finding.lines if subject.value in reading.message(line))
        earlier = sum(
            1
            for line in before.lines[:MAX_LINES_ASKED]
            if line < last and subject.value in reading.message(line)
        )
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
