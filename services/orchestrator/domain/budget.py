"""The error budget (row B16): what breaks it, and what that is called."""

from dataclasses import dataclass

from services.orchestrator.domain.records import ErrorBudget, ErrorCounts

# Of all denials only these are breaches of procedure; any other is recorded and revokes nobody.
VIOLATIONS = frozenset({"FORBIDDEN_BY_PACKET", "REQUIRED_STEP_SKIPPED", "PERMIT_INVALID", "PERMIT_MISMATCH"})


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
