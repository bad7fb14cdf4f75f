"""One pass over a log: what the findings are worth, what is believed to be the cause, and the claims that say
so.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from services.orchestrator.agents.finding import ADDRESSED, Finding
from services.orchestrator.agents.findings import find
from services.orchestrator.agents.incident import NO_CAUSE, Claim, Evidence, Severity
from services.orchestrator.agents.inert import inert, plain
from services.orchestrator.agents.matching import Shown, match
from services.orchestrator.agents.readable import unreadable
from services.orchestrator.agents.reading import Reading, read
from services.orchestrator.agents.rules import Rules
from services.orchestrator.agents.scoring import Trouble, loudness, roots, troubles
from services.orchestrator.agents.statistics import Burst, bursts

MAX_CITED_PER_CLAIM = 20
MAX_SUBJECTS = 10
_NAMED = 5
_ONE = re.compile(r"(?<![\d,])1 (line|time|login)s\b")
_LEAST_SHARE = 0.05  # of the loudest finding, for a claim in the first pass


@dataclass(frozen=True, slots=True)
class Survey:
    """A log and everything that can be said about it before anything is believed."""

    reading: Reading
    rules: Rules
    shown: list[Shown]
    findings: list[Finding]
    bursts: list[Burst]
    troubles: list[Trouble]

    @property
    def bursting(self) -> frozenset[int]:
        """Templates that come in bursts."""
        return frozenset(burst.group for burst in self.bursts)


@dataclass(frozen=True, slots=True)
class Belief:
    """What one pass holds true: the cause, and the findings that are claimed, the most telling first."""

    cause: str
    findings: tuple[int, ...]
    cited_per_claim: int = MAX_CITED_PER_CLAIM


def survey(text: str, rules: Rules) -> Survey:
    """Reads a log, holds the rules against it, looks for bursts."""
    reading = read(text)
    shown = match(reading, rules)
    findings = find(reading, shown, rules) or unreadable(text, reading)
    found = bursts(reading, {group for finding in findings for group in finding.groups})
    bursting = frozenset(burst.group for burst in found)
    findings.sort(key=lambda f: (-loudness(f, bursting), f.lines[0], f.rule))
    return Survey(reading, rules, shown, findings, found, troubles(findings, rules.causes, bursting))


def first_belief(seen: Survey) -> Belief:
    """The plain reading: the cause is what is loudest in all, and what is nearly as loud is claimed beside
    it.
    """
    if not seen.findings:
        return Belief(NO_CAUSE, ())
    weights = [loudness(f, seen.bursting) for f in seen.findings]
    cause = loudest(seen, weights)
    least = max(weights) * _LEAST_SHARE
    claimed = [n for n, w in enumerate(weights) if w >= least]
    return Belief(cause, ranked(seen, cause, claimed, weights))


def loudest(seen: Survey, weights: list[float]) -> str:
    """The cause whose findings weigh most together; words to a reader are never it while there is anything
    else.
    """
    sums: dict[str, float] = {}
    for finding, weight in zip(seen.findings, weights, strict=True):
        sums[finding.cause] = sums.get(finding.cause, 0.0) + (weight if finding.rule != ADDRESSED else 1e-9)
    return max(sums, key=lambda cause: (sums[cause], cause))


def root_weights(seen: Survey) -> list[float]:
    """What each finding weighs together with what it may have led to."""
    return roots(seen.findings, seen.rules.causes, seen.bursting)


def ranked(seen: Survey, cause: str, numbers: Iterable[int], weights: list[float]) -> tuple[int, ...]:
    """Findings in the order in which they are told: those of the cause first, then by weight."""
    return tuple(sorted(numbers, key=lambda n: (seen.findings[n].cause != cause, -weights[n], n)))


def claims_of(seen: Survey, belief: Belief) -> tuple[Claim, ...]:
    """The claims of a belief, each with the lines it rests on."""
    return tuple(_claim(seen, seen.findings[number], belief.cited_per_claim) for number in belief.findings)


def _claim(seen: Survey, finding: Finding, most: int) -> Claim:
    subjects = finding.subjects[:MAX_SUBJECTS]
    sure = {1: 0.9, 2: 0.95}.get(finding.count, 1.0)
    statement = _statement(seen, finding)
    if finding.resolved:
        statement += "; later lines say that it is over"
    return Claim(
        statement=statement,
        cause=finding.cause,
        severity=finding.severity,
        confidence=round(finding.confidence * sure, 2),
        evidence=cite(
            finding, [finding.marked[s.value] for s in subjects[:_NAMED] if s.value in finding.marked], most
        ),
        rule=finding.rule,
        count=finding.count,
        first_line=finding.lines[0],
        last_line=finding.lines[-1],
        subjects=subjects,
    )


def _statement(seen: Survey, finding: Finding) -> str:
    """A rule's sentence with its slots filled; values out of the log are of a strict form, templates inert
    and quoted.
    """
    by_kind: dict[str, list[str]] = {}
    for subject in finding.subjects[:MAX_SUBJECTS]:
        by_kind.setdefault(subject.kind, []).append(subject.value)
    per = finding.source.per if finding.source else ""
    sources = [s for s in finding.subjects if s.kind == "source"]
    commonest = max(finding.groups, key=lambda group: (len(finding.groups[group]), -group))

    def named(kind: str) -> str:
        values = by_kind.get(kind, [])
        return f": {', '.join(values[:_NAMED])}" if values else ""

    told = finding.says.format(
        count=f"{finding.count:,}",
        attempts=f"{finding.attempts or finding.count:,}",
        sources=f"{len(sources):,} source{'s' * (len(sources) != 1)}"
        if sources
        else "sources that are not named",
        worst=", ".join(f"{s.value} ({s.count:,})" for s in (sources if per or sources else [])[:_NAMED])
        or "unknown",
        units=named("unit"),
        paths=named("path"),
        devices=named("device"),
        nodes=named("node"),
        template=f"“{plain(seen.reading.miner.groups[commonest].template, 120)}”",
    )
    return _ONE.sub(r"1 \1", told)


def cite(finding: Finding, marked: Collection[int] = (), most: int = MAX_CITED_PER_CLAIM) -> tuple[int, ...]:
    """The lines to cite: first and last, those that name the subjects, then of each template in turn, at most
    `most`.
    """
    cited: dict[int, None] = dict.fromkeys((finding.lines[0], finding.lines[-1], *marked))
    turns = [
        list(_spread(lines))
        for _, lines in sorted(finding.groups.items(), key=lambda item: (-len(item[1]), item[0]))
    ]
    for turn in range(most):
        for lines in turns:
            if len(cited) >= most:
                return tuple(sorted(cited))
            if turn < len(lines):
                cited[lines[turn]] = None
    return tuple(sorted(cited))


def _spread(lines: Collection[int]) -> Iterable[int]:
    """Some lines from all over: first, last, middle, quarters, …"""
    ordered = list(lines)
    last = len(ordered) - 1
    yield from (ordered[0], ordered[last])
    for parts in (2, 4, 8, 16):
        yield from (ordered[last * step // parts] for step in range(1, parts, 2))


def evidence_of(reading: Reading, lines: Iterable[int]) -> tuple[Evidence, ...]:
    """Lines as evidence, in order: text inert and cut, hash of the whole line."""
    return tuple(
        Evidence(line, inert(reading.lines[line - 1]), hash_of(reading.lines[line - 1]))
        for line in sorted(set(lines))
    )


def hash_of(line: str) -> str:
    """SHA-256 (hex) of a line's UTF-8, without its end."""
    return hashlib.sha256(line.encode("utf-8", "surrogatepass")).hexdigest()


def gravest(claims: Iterable[Claim]) -> Severity:
    """The severity of the gravest claim; INFO when there is none."""
    return max((claim.severity for claim in claims), key=lambda s: s.rank, default=Severity.INFO)
