"""The whole analysis: believe, score, criticise, improve, until the score is good enough or the cycles are
used up.

The score is computed (`scoring`), the criticism too: trouble that no claim covers, a cause that more telling
trouble may have led to, claims that the checker drops. A cycle that finds nothing to change is the last.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from services.orchestrator.agents.analyst import (
    Belief,
    Survey,
    claims_of,
    evidence_of,
    first_belief,
    gravest,
    loudest,
    ranked,
    root_weights,
    survey,
)
from services.orchestrator.agents.checker import check
from services.orchestrator.agents.finding import Finding
from services.orchestrator.agents.incident import (
    NO_CAUSE,
    Analysis,
    Claim,
    Cycle,
    Incident,
    Pattern,
    Plan,
    Severity,
)
from services.orchestrator.agents.inert import inert
from services.orchestrator.agents.levels import Level
from services.orchestrator.agents.planner import plan
from services.orchestrator.agents.rulebook import packaged
from services.orchestrator.agents.rules import Rules
from services.orchestrator.agents.scoring import leads_to, score

MAX_PATTERNS = 20
MAX_CLAIMS = 12
MAX_CITED_WHEN_THIN = 40
STRATEGIES = frozenset({"classic", "reflective"})


def analyse(
    text: str,
    *,
    strategy: str = "reflective",
    max_cycles: int = 2,
    target_score: float = 0.7,
    reflection: bool = True,
    on_cycle: Callable[[Cycle], None] | None = None,
    rules: Rules | None = None,
) -> Analysis:
    """Analyses a log.

    `classic`, or reflection switched off, is exactly one cycle; else at most `max_cycles` (at least one),
    fewer once the score (0 to 1) reaches `target_score`. `on_cycle` is called as each cycle ends. The same
    log gives the same analysis.
    Raises: ValueError for a strategy that there is not.
    """
    if strategy not in STRATEGIES:
        raise ValueError(f"unknown strategy {strategy!r}; there is {', '.join(sorted(STRATEGIES))}")
    known = rules or packaged()
    seen = survey(text, known)
    cycles_left = max(1, max_cycles) if reflection and strategy != "classic" else 1
    belief = first_belief(seen)
    changed: tuple[str, ...] = ()
    cycles: list[Cycle] = []
    while True:
        claims, cycle, better = _cycle(seen, belief, len(cycles) + 1, changed)
        cycles.append(cycle)
        if on_cycle is not None:
            on_cycle(cycle)
        if len(cycles) >= cycles_left or cycle.score >= target_score or better == belief:
            break
        changed = _changes(seen, belief, better)
        belief = better
    return Analysis(_incident(seen, belief, claims), plan(claims, known) if claims else Plan(), tuple(cycles))


def _cycle(
    seen: Survey, belief: Belief, number: int, changed: tuple[str, ...]
) -> tuple[tuple[Claim, ...], Cycle, Belief]:
    """One round: the claims that hold, the round as told, and what to believe next."""
    claims, dropped = check(seen, claims_of(seen, belief))
    cited = sorted({line for claim in claims for line in claim.evidence})
    reached = score(seen.troubles, cited, belief.cause)
    better, criticism = _criticise(seen, belief, set(cited))
    told = claims[0].statement if claims else "nothing is wrong"
    return (
        claims,
        Cycle(number, told, belief.cause, tuple(cited), reached, criticism + dropped, changed),
        better,
    )


def _criticise(seen: Survey, belief: Belief, cited: set[int]) -> tuple[Belief, tuple[str, ...]]:
    """What is wrong with a belief, and a better one (the same when nothing is)."""
    if not seen.findings:
        return belief, ()
    criticism = []
    missed = sorted({t.finding for t in seen.troubles if not cited & t.lines})
    for number in missed[:3]:
        finding = seen.findings[number]
        if number not in belief.findings:
            criticism.append(
                f"{finding.count} lines of {finding.rule} are not accounted for (from line {finding.lines[0]})"
            )
    weights = root_weights(seen)
    cause = loudest(seen, weights)
    if cause != belief.cause:
        root = max(
            (f for f in seen.findings if f.cause == cause), key=lambda f: weights[seen.findings.index(f)]
        )
        symptoms = [
            f for f in seen.findings if f.cause == belief.cause and leads_to(root, f, seen.rules.causes)
        ]
        criticism.append(
            f"{belief.cause} may be a symptom: {root.rule} (line {root.lines[0]}) comes before most of it"
            if symptoms
            else f"{cause} weighs more than {belief.cause} with what it may have led to"
        )
    thin = [
        t
        for t in seen.troubles
        if t.finding in belief.findings and len(cited & t.lines) < min(2, len(t.lines))
    ]
    deeper = belief.cited_per_claim
    if thin and deeper < MAX_CITED_WHEN_THIN:
        criticism.append(f"{len(thin)} templates rest on one line or none")
        deeper = MAX_CITED_WHEN_THIN
    numbers = [n for n, f in enumerate(seen.findings) if n in belief.findings or _worth_telling(f)]
    return Belief(cause, ranked(seen, cause, numbers, weights)[:MAX_CLAIMS], deeper), tuple(criticism)


def _worth_telling(finding: Finding) -> bool:
    return finding.severity.rank >= Severity.WARNING.rank


def _changes(seen: Survey, old: Belief, new: Belief) -> tuple[str, ...]:
    changes = [f"cause: {old.cause} → {new.cause}"] if old.cause != new.cause else []
    if new.cited_per_claim != old.cited_per_claim:
        changes.append(f"cites up to {new.cited_per_claim} lines a claim")
    changes += [f"claimed: {seen.findings[n].rule}" for n in new.findings if n not in old.findings]
    return tuple(changes)


def _incident(seen: Survey, belief: Belief, claims: tuple[Claim, ...]) -> Incident:
    cited = {line for claim in claims for line in claim.evidence}
    if not claims:
        return Incident(
            Severity.INFO, NO_CAUSE, _calm(seen), _all_is_well(seen), (), (), patterns_of(seen, claims)
        )
    cause = belief.cause if any(claim.cause == belief.cause for claim in claims) else claims[0].cause
    main = [claim for claim in claims if claim.cause == cause]
    weights = dict(zip((f.rule for f in seen.findings), root_weights(seen), strict=True))
    explained = {cause} | seen.rules.causes[cause].leads_to
    share = sum(
        w for f, w in zip(seen.findings, weights.values(), strict=True) if f.cause in explained
    ) / sum(weights.values())
    confidence = max(claim.confidence for claim in main) * (0.7 + 0.3 * share)
    severity = gravest(main)
    others = [claim for claim in claims if claim.cause != cause]
    summary = f"{seen.rules.causes[cause].name.capitalize()}: {main[0].statement}."
    if len(main) > 1:
        summary += f" Also: {'; '.join(claim.statement for claim in main[1:4])}."
    if others:
        summary += f" Beside it: {'; '.join(claim.statement for claim in others[:3])}."
    summary += f" ({_looked_at(seen)}.)"
    return Incident(
        severity,
        cause,
        round(confidence, 2),
        summary,
        claims,
        evidence_of(seen.reading, cited),
        patterns_of(seen, claims),
    )


def _calm(seen: Survey) -> float:
    """How sure one can be that nothing is wrong: less of a short log."""
    lines = len(seen.reading.lines)
    return round(min(0.95, 0.5 + 0.15 * len(str(lines))), 2) if lines else 0.3


def _all_is_well(seen: Survey) -> str:
    return f"Nothing is wrong: no known failure, no error, no burst of trouble ({_looked_at(seen)})."


def _looked_at(seen: Survey) -> str:
    """What the analysis had before it, in a few words."""
    levels: Counter[Level] = Counter()
    for kind in seen.reading.kinds:
        levels[kind.level] += kind.count
    said = ", ".join(
        f"{count:,} {level.name.lower()}" for level, count in sorted(levels.items(), reverse=True) if level
    )
    groups = sum(1 for group in seen.reading.miner.groups if group.count)
    first = "" if seen.reading.whole else "the first "
    told = f"{first}{len(seen.reading.lines):,} lines in {groups:,} templates"
    return f"{told}{'; ' + said if said else '; no levels'}"


def patterns_of(seen: Survey, claims: tuple[Claim, ...]) -> tuple[Pattern, ...]:
    """The templates worth showing: those of the claims first, then the most frequent; at most twenty."""
    ends: dict[int, tuple[int, int]] = {}
    for kind in seen.reading.kinds:
        if kind.count:
            first, last = ends.get(kind.group, (kind.first, kind.last))
            ends[kind.group] = (min(first, kind.first), max(last, kind.last))
    groups = seen.reading.miner.groups
    by_count = sorted(ends, key=lambda g: (-groups[g].count, g))
    rules = {claim.rule for claim in claims}
    troubled = {group for finding in seen.findings if finding.rule in rules for group in finding.groups}
    first_half = [g for g in by_count if g in troubled][: MAX_PATTERNS // 2]
    chosen = (first_half + [g for g in by_count if g not in first_half])[:MAX_PATTERNS]
    return tuple(Pattern(inert(groups[g].template, 200), groups[g].count, *ends[g]) for g in chosen)
