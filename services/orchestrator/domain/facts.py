"""What happens to a run: its events. Their short names are those of the messages that carry them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from services.orchestrator.domain.phases import Entry, Phase, RunState
from services.orchestrator.domain.records import (
    Check,
    Decision,
    Effect,
    Incident,
    Mode,
    Packet,
    PastIncident,
    PlannedAction,
    ReasoningCycle,
    Source,
    Strategy,
)


@dataclass(frozen=True, slots=True)
class RunStarted:
    run_id: str
    task_id: str
    agent_id: str
    mode: Mode
    strategy: Strategy
    objective: str
    source: Source | None
    packet: Packet | None
    requested_by: str
    include_trace: bool
    max_reasoning_cycles: int
    target_reasoning_score: float
    at: datetime
    subject_key: str = ""


@dataclass(frozen=True, slots=True)
class RunAssigned:
    run_id: str
    agent_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class RunPhaseEntered:
    run_id: str
    agent_id: str
    phase: Phase
    fencing_token: int
    at: datetime
    entered: Entry | None = None


@dataclass(frozen=True, slots=True)
class PlanRecorded:
    run_id: str
    agent_id: str
    incident: Incident | None
    plan: tuple[PlannedAction, ...]
    cycles: tuple[ReasoningCycle, ...]
    past: tuple[PastIncident, ...]
    at: datetime


@dataclass(frozen=True, slots=True)
class ActionsDecided:
    run_id: str
    agent_id: str
    decisions: tuple[Decision, ...]
    at: datetime
    entered: Entry | None = None


@dataclass(frozen=True, slots=True)
class ApprovalsAwaited:
    run_id: str
    approval_ids: Mapping[str, str]
    at: datetime


@dataclass(frozen=True, slots=True)
class EffectIntended:
    run_id: str
    agent_id: str
    effect_id: str
    action_id: str
    decision_id: str
    action_digest: str
    at: datetime


@dataclass(frozen=True, slots=True)
class EffectsObserved:
    run_id: str
    agent_id: str
    effects: tuple[Effect, ...]
    at: datetime
    entered: Entry | None = None


@dataclass(frozen=True, slots=True)
class RunVerified:
    run_id: str
    agent_id: str
    checks: tuple[Check, ...]
    at: datetime
    entered: Entry | None = None


@dataclass(frozen=True, slots=True)
class RunPackaged:
    run_id: str
    report_sha256: str
    at: datetime
    entered: Entry | None = None


@dataclass(frozen=True, slots=True)
class RunEnded:
    run_id: str
    task_id: str
    agent_id: str
    state: RunState
    reason: str
    outcome: str
    compliant: bool
    at: datetime
    entered: Entry | None = None


Event = (
    RunStarted
    | RunAssigned
    | RunPhaseEntered
    | PlanRecorded
    | ActionsDecided
    | ApprovalsAwaited
    | EffectIntended
    | EffectsObserved
    | RunVerified
    | RunPackaged
    | RunEnded
)
