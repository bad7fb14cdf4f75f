"""A run: one agent, one task, from BOOTSTRAP to EXIT. State, decide, evolve.

Commands are in `wants`, events in `facts`, phases and states in `phases`.

What a run may do next is in `lifecycle`; here is what it remembers, and which memories contradict each other.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from kernel.decider import Decider
from services.orchestrator.domain.facts import (
    ActionsDecided,
    ApprovalsAwaited,
    EffectIntended,
    EffectsObserved,
    Event,
    PlanRecorded,
    RunAssigned,
    RunEnded,
    RunPackaged,
    RunPhaseEntered,
    RunStarted,
    RunVerified,
)
from services.orchestrator.domain.faults import IllegalTransition, RunOver, RunUnknown
from services.orchestrator.domain.phases import ORDER, OVER, Entry, Phase, RunState
from services.orchestrator.domain.records import (
    Check,
    Decision,
    Effect,
    ErrorBudget,
    Incident,
    PastIncident,
    PlannedAction,
    ReasoningCycle,
)
from services.orchestrator.domain.wants import (
    AssignAgent,
    AwaitApprovals,
    Command,
    EndRun,
    EnterPhase,
    IntendEffect,
    ObserveEffects,
    RecordDecisions,
    RecordPackage,
    RecordPlan,
    RecordVerification,
    Result,
    StartRun,
)


@dataclass(frozen=True, slots=True)
class Run:
    """What is known of one run. `started` is None before its first event."""

    started: RunStarted | None = None
    agent_id: str = ""
    state: RunState = RunState.RUNNING
    phase: Phase | None = None
    fencing_token: int = 0
    incident: Incident | None = None
    plan: tuple[PlannedAction, ...] | None = None
    cycles: tuple[ReasoningCycle, ...] = ()
    past: tuple[PastIncident, ...] = ()
    decisions: Mapping[str, Decision] = field(default_factory=dict)
    decided: bool = False
    approval_ids: Mapping[str, str] = field(default_factory=dict)
    approvals_settled: bool = False
    intents: Mapping[str, str] = field(default_factory=dict)
    effects: Mapping[str, Effect] = field(default_factory=dict)
    checks: tuple[Check, ...] | None = None
    report_sha256: str = ""
    reason: str = ""
    outcome: str = ""
    ended_at: datetime | None = None
    told: tuple[Decision, ...] | tuple[Effect, ...] = ()
    """What its last event says was decided, or was done. What is bad among it counts before anything else happens, so
    that what an earlier event told has been counted."""

    @property
    def has_its_agent(self) -> bool:
        """Whether an agent is at work for it, and for no other run."""
        return (
            bool(self.agent_id)
            and not self.over
            and self.phase is not None
            and self.state is not RunState.WAITING
        )

    @property
    def over(self) -> bool:
        return self.state in OVER

    @property
    def known(self) -> RunStarted:
        """How it started.

        Raises:
            RunUnknown: it never did.
        """
        if self.started is None:
            raise RunUnknown("")
        return self.started

    @property
    def budget(self) -> ErrorBudget:
        """The errors that its packet allows."""
        packet = self.started.packet if self.started else None
        return (packet.error_budget if packet else None) or ErrorBudget()


# Decide


def _may_follow(phase: Phase, before: Phase | None) -> bool:
    if before is None:
        return phase is Phase.BOOTSTRAP
    again = phase is before  # with a new lock: after waiting for people, or after a crash
    return again or ORDER.index(phase) == ORDER.index(before) + 1


def decide(run: Run, command: Command) -> Event | None:
    """The event that `command` causes, or None when it has happened already.

    Raises:
        RunUnknown, RunOver, IllegalTransition.
    """
    if isinstance(command, StartRun):
        return _start(run, command)
    started = run.known
    run_id = started.run_id
    if run.over:
        if isinstance(command, EndRun):
            return None
        raise RunOver(run_id, run.state)
    if isinstance(command, Result) and command.entry:
        before = command.phase if isinstance(command, EnterPhase) else run.phase
        if not _may_follow(command.entry.phase, before):
            raise IllegalTransition(run_id, before or "the start", command.entry.phase)
    match command:
        case AssignAgent(agent_id=agent_id, at=at):
            return None if run.agent_id else RunAssigned(run_id, agent_id, at)
        case EnterPhase(phase=phase, fencing_token=token) if (
            phase is run.phase and token == run.fencing_token
        ):
            return None
        case EnterPhase(phase=phase, fencing_token=token, at=at, entry=entry):
            if not _may_follow(phase, run.phase):
                raise IllegalTransition(run_id, run.phase or "the start", phase)
            return RunPhaseEntered(run_id, run.agent_id, phase, token, at, entry)
        case RecordPlan(incident=incident, plan=plan, cycles=cycles, past=past, at=at):
            return (
                None
                if run.plan is not None
                else PlanRecorded(run_id, run.agent_id, incident, plan, cycles, past, at)
            )
        case RecordDecisions(decisions=decisions, at=at, entry=entry):
            kept = tuple(replace(decision, permit="", permit_expire_time=None) for decision in decisions)
            return ActionsDecided(run_id, run.agent_id, kept, at, entry)
        case AwaitApprovals(approval_ids=ids, at=at):
            return None if run.approval_ids else ApprovalsAwaited(run_id, ids, at)
        case IntendEffect(effect_id=effect_id) if effect_id in run.intents:
            return None
        case IntendEffect(effect_id=effect_id, action_id=action_id, at=at):
            decision = run.decisions.get(action_id)
            if decision is None or decision.verdict != "ALLOW":
                raise IllegalTransition(run_id, f"action {action_id} without an ALLOW", "an effect")
            return EffectIntended(
                run_id, run.agent_id, effect_id, action_id, decision.decision_id, decision.action_digest, at
            )
        case ObserveEffects(effects=effects, at=at, entry=entry):
            new = tuple(effect for effect in effects if effect.effect_id not in run.effects)
            return EffectsObserved(run_id, run.agent_id, new, at, entry) if new else None
        case RecordVerification(checks=checks, at=at, entry=entry):
            return None if run.checks is not None else RunVerified(run_id, run.agent_id, checks, at, entry)
        case RecordPackage(report_sha256=sha256, at=at, entry=entry):
            return None if run.report_sha256 else RunPackaged(run_id, sha256, at, entry)
        case EndRun(state=state, reason=reason, outcome=outcome, compliant=compliant, at=at, entry=entry):
            return RunEnded(
                run_id, started.task_id, run.agent_id, state, reason, outcome, compliant, at, entry
            )


def _start(run: Run, c: StartRun) -> RunStarted | None:
    if run.started is not None:
        return None
    return RunStarted(
        c.run_id,
        c.task_id,
        c.agent_id,
        c.mode,
        c.strategy,
        c.objective,
        c.source,
        c.packet,
        c.requested_by,
        c.include_trace,
        c.max_reasoning_cycles,
        c.target_reasoning_score,
        c.at,
        c.subject_key,
    )


# Evolve


def evolve(run: Run, event: Event) -> Run:
    """The run after `event`."""
    return replace(_evolved(run, event), told=_told(run, event))


def _told(run: Run, event: Event) -> tuple[Decision, ...] | tuple[Effect, ...]:
    match event:
        case ActionsDecided(decisions=decisions):
            # What was allowed before is asked about anew by us, and not by the agent.
            before = {action_id for action_id, each in run.decisions.items() if each.verdict == "ALLOW"}
            return tuple(each for each in decisions if each.action_id not in before)
        case EffectsObserved(effects=effects):
            return effects
        case RunPhaseEntered(phase=phase) if phase is run.phase:
            return run.told  # with a new lock: nothing has happened
        case _:
            return ()


def _evolved(run: Run, event: Event) -> Run:
    match event:
        case RunStarted(agent_id=agent_id):
            return replace(run, started=event, agent_id=agent_id)
        case RunAssigned(agent_id=agent_id):
            return replace(run, agent_id=agent_id)
        case RunPhaseEntered(phase=phase, fencing_token=token, entered=entered):
            reason = "BOOTSTRAP_COMPLETE" if phase is Phase.BOOTSTRAP else run.reason
            return _in(entered or Entry(phase, token), replace(run, reason=reason))
        case PlanRecorded(incident=incident, plan=plan, cycles=cycles, past=past):
            return replace(run, incident=incident, plan=plan, cycles=cycles, past=past)
        case ActionsDecided(decisions=decisions, entered=entered):
            merged = {**run.decisions, **{decision.action_id: decision for decision in decisions}}
            settled = bool(run.approval_ids)
            return _in(entered, replace(run, decisions=merged, decided=True, approvals_settled=settled))
        case ApprovalsAwaited(approval_ids=ids):
            return replace(run, approval_ids=ids, state=RunState.WAITING)
        case EffectIntended(effect_id=effect_id, action_id=action_id):
            return replace(run, intents={**run.intents, effect_id: action_id})
        case EffectsObserved(effects=effects, entered=entered):
            merged_effects = {**run.effects, **{effect.effect_id: effect for effect in effects}}
            return _in(entered, replace(run, effects=merged_effects))
        case RunVerified(checks=checks, entered=entered):
            return _in(entered, replace(run, checks=checks))
        case RunPackaged(report_sha256=sha256, entered=entered):
            return _in(entered, replace(run, report_sha256=sha256))
        case RunEnded(state=state, reason=reason, outcome=outcome, at=at, entered=entered):
            return replace(_in(entered, run), state=state, reason=reason, outcome=outcome, ended_at=at)


def _in(entered: Entry | None, run: Run) -> Run:
    """`run`, in the phase it has entered, if it has."""
    if entered is None:
        return run
    return replace(run, phase=entered.phase, fencing_token=entered.fencing_token, state=RunState.RUNNING)


def _ended(run: Run) -> str:
    return run.state if run.over else ""


RUN: Decider[Command, Run, Event] = Decider("orchestrator", "run", Run(), decide, evolve, _ended)
