"""Holds claims against the log itself and drops what does not hold: no claim without lines, no line that does
not say it.
"""

from __future__ import annotations

from dataclasses import replace

from services.orchestrator.agents.analyst import Survey
from services.orchestrator.agents.finding import ADDRESSED, UNREADABLE
from services.orchestrator.agents.incident import Claim
from services.orchestrator.agents.matching import Sign
from services.orchestrator.agents.readable import is_strange


def check(seen: Survey, claims: tuple[Claim, ...]) -> tuple[tuple[Claim, ...], tuple[str, ...]]:
    """The claims that hold, each with only the lines that say what it claims, and why others were dropped."""
    kept, dropped = [], []
    for claim in claims:
        lines = tuple(line for line in claim.evidence if _says(seen, line, claim))
        if not claim.evidence:
            dropped.append(f"dropped {claim.rule}: it cites no line")
        elif not lines:
            dropped.append(f"dropped {claim.rule}: none of the lines it cites says so")
        else:
            texts = [seen.reading.lines[line - 1] for line in lines]
            named = tuple(
                s
                for s in claim.subjects
                if any(s.value in text for text in texts) or s.value not in claim.statement
            )
            kept.append(replace(claim, evidence=lines, subjects=named))
    return tuple(kept), tuple(dropped)


def _says(seen: Survey, line: int, claim: Claim) -> bool:
    """Whether a line exists and shows what the claim's rule is about."""
    if not 1 <= line <= len(seen.reading.lines) or (kind := seen.reading.kind_of[line - 1]) < 0:
        return False
    shown = seen.shown[kind]
    if claim.rule == ADDRESSED:
        return shown.sign is Sign.ADDRESSED
    if claim.rule == UNREADABLE:
        return is_strange(seen.reading.lines[line - 1])
    if shown.sign is Sign.RULE and seen.rules.rules[shown.rule].id == claim.rule:
        return True
    return claim.rule.startswith("unexplained.") and shown.sign in {Sign.NOTHING, Sign.FAILING, Sign.RULE}
