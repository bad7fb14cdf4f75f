"""What can be asked of a run: its commands."""

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
class StartRun:
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
class AssignAgent:
    agent_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class EnterPhase:
    phase: Phase
    fencing_token: int
    at: datetime
    entry: Entry | None = None


@dataclass(frozen=True, slots=True)
class RecordPlan:
    incident: Incident | None
    plan: tuple[PlannedAction, ...]
    cycles: tuple[ReasoningCycle, ...]
    past: tuple[PastIncident, ...]
    at: datetime


@dataclass(frozen=True, slots=True)
class RecordDecisions:
    decisions: tuple[Decision, ...]
    at: datetime
    entry: Entry | None = None


@dataclass(frozen=True, slots=True)
class AwaitApprovals:
    approval_ids: Mapping[str, str]
    at: datetime


@dataclass(frozen=True, slots=True)
class IntendEffect:
    effect_id: str
    action_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class ObserveEffects:
    effects: tuple[Effect, ...]
    at: datetime
    entry: Entry | None = None


@dataclass(frozen=True, slots=True)
class RecordVerification:
    checks: tuple[Check, ...]
    at: datetime
    entry: Entry | None = None


@dataclass(frozen=True, slots=True)
class RecordPackage:
    report_sha256: str
    at: datetime
    entry: Entry | None = None


@dataclass(frozen=True, slots=True)
class EndRun:
    state: RunState
    reason: str
    outcome: str
    compliant: bool
    at: datetime
    entry: Entry | None = None


Result = EnterPhase | RecordDecisions | ObserveEffects | RecordVerification | RecordPackage | EndRun
"""What may be the last of its phase, and then says with `entry` which one the run is in now."""

Command = StartRun | AssignAgent | RecordPlan | AwaitApprovals | IntendEffect | Result
