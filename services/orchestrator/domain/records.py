"""What a run carries: what an agent believes, what it proposes, what was decided, what came of it.

Field names are those of `protos/provost/orchestrator/v1`, so that the wire needs no translation by hand.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Mode(StrEnum):
    SAFE = "SAFE"
    ASSISTED = "ASSISTED"
    AUTO = "AUTO"


class Strategy(StrEnum):
    CLASSIC = "CLASSIC"
    REFLECTIVE = "REFLECTIVE"


class Tier(StrEnum):
    T0_OBSERVER = "T0_OBSERVER"
    T1_OPERATOR = "T1_OPERATOR"
    T2_BUILDER = "T2_BUILDER"
    T3_EXECUTOR = "T3_EXECUTOR"
    T4_ARCHITECT = "T4_ARCHITECT"


class Verdict(StrEnum):
    ALLOW = "ALLOW"
    DENY = "DENY"
    NEEDS_APPROVAL = "NEEDS_APPROVAL"


class EffectState(StrEnum):
    PREVIEWED = "PREVIEWED"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    REFUSED = "REFUSED"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class Evidence:
    evidence_id: str
    line: int
    text: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Pattern:
    template: str
    count: int
    first_line: int
    last_line: int


@dataclass(frozen=True, slots=True)
class Claim:
    statement: str
    cause: str
    severity: str
    confidence: float
    evidence: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Incident:
    severity: str
    cause: str
    confidence: float
    summary: str
    evidence: tuple[Evidence, ...] = ()
    patterns: tuple[Pattern, ...] = ()
    claims: tuple[Claim, ...] = ()


@dataclass(frozen=True, slots=True)
class Action:
    action_id: str
    name: str
    target: str
    environment: str
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PlannedAction:
    action: Action
    least_tier: Tier
    why: str
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ReasoningCycle:
    number: int
    belief: str
    cause: str
    evidence: tuple[str, ...]
    score: float
    criticism: str
    changed: str


@dataclass(frozen=True, slots=True)
class Proposal:
    """What the agent answers to its task."""

    run_id: str
    incident: Incident | None
    plan: tuple[PlannedAction, ...]
    cycles: tuple[ReasoningCycle, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that would have to be otherwise for a yes, and who can change it."""

    what: str
    to: str
    by: str


@dataclass(frozen=True, slots=True)
class Decision:
    """Policy's answer to one action. The permit is kept in memory only: events never carry one."""

    decision_id: str
    action_id: str
    verdict: Verdict
    rule: str
    reason: str
    explanation: str
    tier: Tier | None
    policy_version: str
    action_digest: str
    obligations: tuple[str, ...] = ()
    permit: str = ""
    permit_expire_time: datetime | None = None
    reservation_id: str = ""
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True)
class Effect:
    effect_id: str
    action_id: str
    state: EffectState
    summary: str
    output: str = ""
    error_type: str = ""
    error_message: str = ""
    duration_ms: int = 0
    changed: bool = False


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    ok: bool
    detail: str


@dataclass(frozen=True, slots=True)
class PastAction:
    """What came of one kind of action over all runs that met an incident; `helped`: made a change in compliant runs."""

    name: str
    previewed: int = 0
    succeeded: int = 0
    failed: int = 0
    helped: int = 0


@dataclass(frozen=True, slots=True)
class PastIncident:
    """An incident that earlier runs met: same cause, similar templates. Told to people; nothing follows from it."""

    similarity: float
    seen: int
    last_run_id: str
    last_time: datetime
    last_reason: str
    last_outcome: str
    tried: tuple[PastAction, ...] = ()


@dataclass(frozen=True, slots=True)
class Source:
    """Where the run's log is kept, and what was done to it before."""

    artifact_sha256: str
    size_bytes: int
    lines: int
    replaced_bytes: int
    redactions: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Constraints:
    scope: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()
    required_steps: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ErrorBudget:
    max_total_errors: int = 8
    max_same_error_repeats: int = 2
    max_procedure_violations: int = 1


@dataclass(frozen=True, slots=True)
class Packet:
    """An instruction packet (row B8)."""

    agent_id: str
    task_id: str
    created_for: str
    objective: str
    deliverables: tuple[str, ...]
    constraints: Constraints | None
    success_criteria: tuple[str, ...]
    error_budget: ErrorBudget | None
    escalation_rules: tuple[str, ...]
    created_at: datetime | None
    version: int = 0
    """Set by state."""
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ErrorCounts:
    total: int = 0
    same_error_repeats: int = 0
    procedure_violations: int = 0
    by_type: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RevocationReason:
    type: str
    details: str


@dataclass(frozen=True, slots=True)
class LastKnownState:
    phase: str
    step: str


@dataclass(frozen=True, slots=True)
class Handoff:
    """What a revoked agent leaves to the next (row B11)."""

    task_id: str
    previous_agent_id: str
    revoked: bool
    revocation_reason: RevocationReason | None
    last_known_state: LastKnownState | None
    what_was_tried: tuple[str, ...]
    blocking_issue: str
    required_next_actions: tuple[str, ...]
    constraints_reminder: tuple[str, ...]
    artifacts: tuple[str, ...]
    labels: tuple[str, ...] = ()
