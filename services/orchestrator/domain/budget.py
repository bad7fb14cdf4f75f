"""The error budget (row B16): what counts, what breaks it, and what that is called."""

import re
from dataclasses import dataclass

from kernel.faults import Fault, Invalid
from services.orchestrator.domain.records import (
    Decision,
    EffectState,
    ErrorBudget,
    ErrorCounts,
    Mode,
    Verdict,
)
from services.orchestrator.domain.run import Run

# Of all denials only these are breaches of procedure; any other is recorded and revokes nobody.
VIOLATIONS = frozenset({"FORBIDDEN_BY_PACKET", "REQUIRED_STEP_SKIPPED", "PERMIT_INVALID", "PERMIT_MISMATCH"})

NOT_BY_AGENTS = frozenset({"FENCING_TOKEN_STALE", "AGENT_REVOKED"})
"""What an effect may come to that is no error: its run has lost the agent, or the agent its power."""
BAD = frozenset({EffectState.FAILED, EffectState.REFUSED, EffectState.UNKNOWN})
_OF_AGENTS = frozenset({"AGENT_FAILED", "PROPOSAL_INVALID", "MESSAGE_TOO_LARGE"})
_ERROR_TYPE = re.compile(r"[A-Za-z0-9_.:-]{1,128}")  # state counts under no other


def of_agent(fault: Fault) -> bool:
    """Whether the agent has caused it, by what it proposed or by proposing nothing.

    That a peer has no room, or has lost something, is no error of the agent's.
    """
    return isinstance(fault, Invalid) or fault.reason in _OF_AGENTS


def countable(error_type: str, text: str) -> tuple[str, str]:
    """The type that an actuator's error counts under, and its text: this keeps what was said in place of a type."""
    if _ERROR_TYPE.fullmatch(error_type):
        return error_type, text
    return "ACTUATOR_FAILED", ": ".join(filter(None, (error_type, text)))


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that counts, once: `key` says which it is."""

    key: str
    error_type: str
    message: str
    violation: bool = False


def violates(decision: Decision) -> bool:
    """Whether no agent may so much as ask for what was denied."""
    return decision.verdict is Verdict.DENY and decision.reason in VIOLATIONS


def troubles(run: Run) -> tuple[Trouble, ...]:
    """What may not have been counted yet. This follows from the events alone, so that no crash makes it forgotten."""
    found: list[Trouble] = []
    for each in run.told:
        if isinstance(each, Decision):
            if violates(each):
                found.append(Trouble(each.decision_id, each.reason, each.explanation, violation=True))
        elif run.known.mode is Mode.SAFE:
            continue  # a preview: nothing was tried, whatever the actuators cannot do
        elif each.state in BAD and each.error_type not in NOT_BY_AGENTS:
            error_type, why = countable(each.error_type, each.error_message or each.summary)
            found.append(Trouble(each.effect_id, error_type, why))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Breach:
    """Why an agent loses its power: `kind` as it stands in the revocation, `reason` as it stands in the run."""

    kind: str
    reason: str
    details: str


def breach(counts: ErrorCounts, budget: ErrorBudget) -> Breach | None:
    """What is broken, the gravest first; None while there is budget left. A limit is broken when it is reached."""
    if counts.procedure_violations >= budget.max_procedure_violations:
        return Breach(
            "procedure_violation",
            "PROCEDURE_VIOLATION",
            f"{counts.procedure_violations} procedure violation(s), {budget.max_procedure_violations} revoke(s)",
        )
    if counts.same_error_repeats >= budget.max_same_error_repeats:
        worst = max(counts.by_type, key=lambda kind: counts.by_type[kind], default="an error")
        return Breach(
            "same_error_repeated",
            "ERROR_BUDGET_EXCEEDED",
            f"{worst} came {counts.same_error_repeats} times, {budget.max_same_error_repeats} revoke",
        )
    if counts.total >= budget.max_total_errors:
        return Breach(
            "error_budget_exceeded",
            "ERROR_BUDGET_EXCEEDED",
            f"{counts.total} errors, {budget.max_total_errors} revoke",
        )
    return None
