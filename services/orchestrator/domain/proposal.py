"""What an agent may propose: claims must rest on lines that are there (row M5), actions must be of a sane shape.

Agents are not trusted. A claim that cites nothing, or cites what the log does not say, is dropped; a proposal that
cannot be understood is refused whole and counts as the agent's error.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from services.orchestrator.domain.faults import ProposalInvalid
from services.orchestrator.domain.records import Action, Incident, PlannedAction, Proposal

MAX_ACTIONS = 100
MAX_SHOWN = 400  # characters of a line
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}(\.[a-z][a-z0-9_]{0,63}){1,3}")
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_PLACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:@/-]{0,252}")
_SEVERITIES = frozenset({"info", "warning", "error", "critical"})


def line_hash(line: str) -> str:
    """Hex SHA-256 of one line of the redacted log, without its line break (LF or CRLF)."""
    return hashlib.sha256(line.removesuffix("\r").encode("utf-8", "surrogatepass")).hexdigest()


def checked(proposal: Proposal, lines: Sequence[str]) -> Proposal:
    """`proposal` with every unfounded claim dropped, and every action that rested on it alone; evidence tells what the
    log says, whatever the agent said it does.

    Raises:
        ProposalInvalid: an action is malformed, ids repeat, there are too many, or a confidence or score is none.
    """
    _require_actions(proposal.plan)
    _require_shares(cycle.score for cycle in proposal.cycles)
    if proposal.incident is None:
        return proposal
    incident = _founded(proposal.incident, lines)
    there = {evidence.evidence_id for evidence in incident.evidence}
    plan = tuple(planned for planned in proposal.plan if planned.evidence and set(planned.evidence) <= there)
    return replace(proposal, incident=incident, plan=plan)


def _require_actions(plan: Sequence[PlannedAction]) -> None:
    if len(plan) > MAX_ACTIONS:
        raise ProposalInvalid(f"a plan has at most {MAX_ACTIONS} actions, not {len(plan)}")
    seen: set[str] = set()
    for planned in plan:
        action = planned.action
        if action.action_id in seen:
            raise ProposalInvalid(f"two actions are called {action.action_id!r}")
        seen.add(action.action_id)
        _require_action(action)


def _require_action(action: Action) -> None:
    if not _ID.fullmatch(action.action_id):
        raise ProposalInvalid("an action_id is 1 to 64 of A-Z, a-z, 0-9, '_' and '-'")
    if not _NAME.fullmatch(action.name):
        raise ProposalInvalid(f"action {action.action_id}: a name looks like `diagnostics.memory`")
    if not _PLACE.fullmatch(action.target) or not _ID.fullmatch(action.environment):
        raise ProposalInvalid(f"action {action.action_id}: target or environment is malformed")
    for name, value in action.parameters.items():
        if not _ID.fullmatch(name) or len(value) > 1024 or not value.isprintable():
            raise ProposalInvalid(f"action {action.action_id}: parameter {name[:64]!r} is malformed")


def _require_shares(numbers: Iterable[float]) -> None:
    if not all(0 <= each <= 1 for each in numbers):  # and so no NaN, which JSON cannot tell
        raise ProposalInvalid("a confidence or a score is a number from 0 to 1")


def _founded(incident: Incident, lines: Sequence[str]) -> Incident:
    if incident.severity not in _SEVERITIES:
        raise ProposalInvalid(f"severity is one of {', '.join(sorted(_SEVERITIES))}")
    _require_shares((incident.confidence, *(claim.confidence for claim in incident.claims)))
    evidence = tuple(
        replace(each, text=_shown(lines[each.line - 1]))
        for each in incident.evidence
        if 1 <= each.line <= len(lines) and line_hash(lines[each.line - 1]) == each.sha256
    )
    there = {each.evidence_id for each in evidence}
    claims = tuple(claim for claim in incident.claims if claim.evidence and set(claim.evidence) <= there)
    if incident.cause != "none" and not any(claim.cause == incident.cause for claim in claims):
        raise ProposalInvalid(f"cause {incident.cause!r} is claimed, but no line of the log is cited for it")
    return replace(incident, evidence=evidence, claims=claims)


def _shown(line: str) -> str:
    """As much of a line as people are shown, with nothing in it that a terminal or a page would obey."""
    shown = line.removesuffix("\r")[: MAX_SHOWN + 1].replace("\t", " ")
    if not shown.isprintable():
        shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in shown)
    return shown if len(shown) <= MAX_SHOWN else f"{shown[: MAX_SHOWN - 1]}…"
