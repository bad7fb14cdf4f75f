"""Runs as REST shows them, and what is asked of them. Permits are left out: they are for actuators alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Mode(StrEnum):
    SAFE = "safe"
    ASSISTED = "assisted"
    AUTO = "auto"


class Strategy(StrEnum):
    CLASSIC = "classic"
    REFLECTIVE = "reflective"


class RunState(StrEnum):
    RUNNING = "RUNNING"
    WAITING = "WAITING"
    COMPLETED = "COMPLETED"
    REFUSED = "REFUSED"
    FAILED = "FAILED"
    REVOKED = "REVOKED"


@dataclass(frozen=True, slots=True)
class ProcessLog:
    """`log` as it came: what is not UTF-8 in it is replaced, and counted, by the orchestrator."""

    request_id: str
    log: bytes
    mode: Mode
    strategy: Strategy | None
    include_trace: bool
    agent_id: str
    forbidden: tuple[str, ...]
    subject: str = ""


@dataclass(frozen=True, slots=True)
class StartRun:
    request_id: str
    agent_id: str
    task_id: str
    objective: str
    mode: Mode
    subject: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """One line of the log, inert; `hash` is the SHA-256 of the whole redacted line."""

    id: str
    line: int
    text: str
    hash: str


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
    evidence: tuple[Evidence, ...]
    patterns: tuple[Pattern, ...]
    claims: tuple[Claim, ...]


@dataclass(frozen=True, slots=True)
class PlannedAction:
    action_id: str
    action: str
    target: str
    environment: str
    parameters: Mapping[str, str]
    least_tier: str
    why: str
    evidence: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that would have to be otherwise for a yes: `what` it is, what `to`, and who can (`by`)."""

    what: str
    to: str
    by: str


@dataclass(frozen=True, slots=True)
class Decision:
    decision_id: str
    action_id: str
    decision: str
    rule: str
    reason: str
    explanation: str
    tier: str
    policy_version: str
    action_digest: str
    obligations: tuple[str, ...]
    reservation_id: str = ""
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True)
class Effect:
    effect_id: str
    action_id: str
    state: str
    summary: str
    output: str
    error_type: str
    error_message: str
    duration_ms: int
    changed: bool


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    ok: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the run ended, or what it is at: what was done, and what VERIFY saw."""

    state: RunState
    reason: str
    summary: str
    effects: tuple[Effect, ...]
    checks: tuple[Check, ...]


@dataclass(frozen=True, slots=True)
class Cycle:
    """One pass of reasoning."""

    cycle: int
    belief: str
    cause: str
    evidence: tuple[str, ...]
    score: float
    criticism: str
    changed: str


@dataclass(frozen=True, slots=True)
class Source:
    """The log: how much of it, how many bytes were not UTF-8 and were replaced, how many secrets were taken out."""

    artifact_sha256: str
    size_bytes: int
    lines: int
    replaced_bytes: int
    redactions: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class PastAction:
    """What came of one kind of action in earlier runs; `helped` counts changes made in runs that ended compliant."""

    action: str
    previewed: int
    succeeded: int
    failed: int
    helped: int


@dataclass(frozen=True, slots=True)
class PastIncident:
    """An incident with the same cause that earlier runs met. Told to people; it changes nothing."""

    similarity: float
    seen: int
    last_run_id: str
    last_time: datetime | None
    last_reason: str
    last_outcome: str
    tried: tuple[PastAction, ...]


@dataclass(frozen=True, slots=True)
class Run:
    """`incident` and `source` are there once known; `trace` unless it was not asked for."""

    run_id: str
    task_id: str
    agent_id: str
    state: RunState
    mode: str
    strategy: str
    phase: str
    objective: str
    requested_by: str
    source: Source | None
    incident: Incident | None
    plan: tuple[PlannedAction, ...]
    decisions: tuple[Decision, ...]
    outcome: Outcome
    trace: tuple[Cycle, ...] | None
    past_incidents: tuple[PastIncident, ...]
    waiting_for: tuple[str, ...]
    report_sha256: str
    start_time: datetime | None
    end_time: datetime | None
    sequence: int
    ignored_fields: tuple[str, ...] = ()

    @property
    def under_way(self) -> bool:
        """Not ended: it works, or waits for a person."""
        return self.state in (RunState.RUNNING, RunState.WAITING)
