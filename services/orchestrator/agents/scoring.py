"""How much of a log's trouble an analysis accounts for.

Trouble is every template of every finding, weighed by how grave it is, how often it comes and whether it
comes in a burst. What may have led to other trouble weighs as much again as all that followed: to miss a root
is to miss what grew out of it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import log2

from services.orchestrator.agents.finding import Finding
from services.orchestrator.agents.incident import Severity
from services.orchestrator.agents.rules import Cause

WEIGHTS: Mapping[Severity, float] = {
    Severity.INFO: 0.25,
    Severity.WARNING: 1.0,
    Severity.ERROR: 4.0,
    Severity.CRITICAL: 16.0,
}
_BURST = 1.5
_PASSED_OVER = 0.25  # what a cited line counts when it may be why, and another cause is believed in


@dataclass(frozen=True, slots=True)
class Trouble:
    """One template of one finding."""

    finding: int
    group: int
    weight: float
    lines: frozenset[int]
    may_cause: frozenset[str]  # classes of the trouble that it may have led to


def loudness(finding: Finding, bursting: Collection[int] = ()) -> float:
    """How much a finding weighs by itself."""
    burst = _BURST if any(group in bursting for group in finding.groups) else 1.0
    return WEIGHTS[finding.severity] * log2(1 + finding.count) * finding.confidence * burst


def leads_to(earlier: Finding, later: Finding, causes: Mapping[str, Cause]) -> bool:
    """Whether one finding may be why the other is there: by class of cause, and most of the other's lines
    come after its first.
    """
    if later.cause == earlier.cause or later.cause not in causes[earlier.cause].leads_to:
        return False
    if earlier.cause in causes[later.cause].leads_to and later.lines[0] < earlier.lines[0]:
        return False
    return earlier.lines[0] <= later.lines[later.count // 2]


def roots(
    findings: list[Finding], causes: Mapping[str, Cause], bursting: Collection[int] = ()
) -> list[float]:
    """Per finding, what it weighs together with the trouble that it may have led to."""
    alone = [loudness(f, bursting) for f in findings]
    return [
        weight
        + (
            sum(other for g, other in zip(findings, alone, strict=True) if leads_to(f, g, causes))
            if _could_root(f)
            else 0.0
        )
        for f, weight in zip(findings, alone, strict=True)
    ]


def _could_root(finding: Finding) -> bool:
    return finding.severity.rank >= Severity.ERROR.rank


def troubles(
    findings: list[Finding], causes: Mapping[str, Cause], bursting: Collection[int] = ()
) -> list[Trouble]:
    """All trouble of a log. A finding's weight is shared out among its templates by how often they come (on a
    log scale).
    """
    found = []
    for number, (finding, weight) in enumerate(zip(findings, roots(findings, causes, bursting), strict=True)):
        shares = {group: log2(1 + len(lines)) for group, lines in finding.groups.items()}
        whole = sum(shares.values())
        followed = frozenset(
            g.cause for g in findings if _could_root(finding) and leads_to(finding, g, causes)
        )
        for group, lines in finding.groups.items():
            found.append(Trouble(number, group, weight * shares[group] / whole, frozenset(lines), followed))
    return found


def score(found: list[Trouble], cited: Collection[int], cause: str) -> float:
    """The share (0 to 1) of the trouble that cited lines cover, under a cause believed in; 1 when there is no
    trouble.

    Of a template, the first cited line covers three quarters, the next three quarters of the rest, and so on:
    each line taken away lowers the score. Trouble that may have led to what is believed to be the cause
    counts little even when cited: it is the better cause.
    """
    whole = sum(t.weight for t in found)
    if not whole:
        return 1.0
    lines = set(cited)
    covered = 0.0
    for trouble in found:
        share = _covered(len(lines & trouble.lines)) / _covered(len(trouble.lines))
        covered += trouble.weight * share * (_PASSED_OVER if cause in trouble.may_cause else 1.0)
    return covered / whole


def _covered(lines: int) -> float:
    return 1.0 - 0.25 ** min(lines, 24)
