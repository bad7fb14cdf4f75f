"""Runs."""

import math

from provost.orchestrator.v1 import incident_pb2, orchestrator_pb2
from provost.policy.v1 import policy_pb2
from services.gateway.domain.runs import (
    Change,
    Check,
    Claim,
    Cycle,
    Decision,
    Effect,
    Evidence,
    Incident,
    Mode,
    Outcome,
    PastAction,
    PastIncident,
    Pattern,
    PlannedAction,
    ProcessLog,
    Run,
    RunState,
    Source,
    StartRun,
    Strategy,
)
from services.gateway.wire.values import name_of, time_of

MODES = {
    Mode.SAFE: policy_pb2.MODE_SAFE,
    Mode.ASSISTED: policy_pb2.MODE_ASSISTED,
    Mode.AUTO: policy_pb2.MODE_AUTO,
}
STRATEGIES = {
    None: orchestrator_pb2.STRATEGY_UNSPECIFIED,  # as the orchestrator is set
    Strategy.CLASSIC: orchestrator_pb2.STRATEGY_CLASSIC,
    Strategy.REFLECTIVE: orchestrator_pb2.STRATEGY_REFLECTIVE,
}


def process_log_to_wire(ask: ProcessLog) -> orchestrator_pb2.ProcessLogRequest:
    return orchestrator_pb2.ProcessLogRequest(
        request_id=ask.request_id,
        log=ask.log,
        mode=MODES[ask.mode],
        strategy=STRATEGIES[ask.strategy],
        include_trace=ask.include_trace,
        agent_id=ask.agent_id,
        forbidden=ask.forbidden,
        subject=ask.subject,
    )


def start_run_to_wire(ask: StartRun) -> orchestrator_pb2.StartRunRequest:
    return orchestrator_pb2.StartRunRequest(
        request_id=ask.request_id,
        agent_id=ask.agent_id,
        task_id=ask.task_id,
        objective=ask.objective,
        mode=MODES[ask.mode],
        subject=ask.subject,
    )


def state_to_wire(state: RunState | None) -> orchestrator_pb2.RunState.ValueType:
    return orchestrator_pb2.RunState.Value(f"RUN_STATE_{state or 'UNSPECIFIED'}")


def run_from_wire(run: orchestrator_pb2.Run) -> Run:
    """`trace` is there if the run was asked to show it."""
    return Run(
        run_id=run.run_id,
        task_id=run.task_id,
        agent_id=run.agent_id,
        state=RunState(_state(run.state)),
        mode=name_of(policy_pb2.Mode, run.mode, "MODE_").lower(),
        strategy=name_of(orchestrator_pb2.Strategy, run.strategy, "STRATEGY_").lower(),
        phase=name_of(orchestrator_pb2.Phase, run.phase, "PHASE_"),
        objective=run.objective,
        requested_by=run.requested_by,
        source=_source(run.source) if run.HasField("source") else None,
        incident=_incident(run.incident) if run.HasField("incident") else None,
        plan=tuple(_planned(each) for each in run.plan),
        decisions=tuple(_decision(each) for each in run.decisions),
        outcome=Outcome(
            state=RunState(_state(run.state)),
            reason=run.reason,
            summary=run.outcome,
            effects=tuple(_effect(each) for each in run.effects),
            checks=tuple(Check(each.name, each.ok, each.detail) for each in run.checks),
        ),
        trace=tuple(_cycle(each) for each in run.cycles) if run.include_trace else None,
        past_incidents=tuple(_past(each) for each in run.past),
        waiting_for=tuple(run.waiting_for),
        report_sha256=run.report_sha256,
        start_time=time_of(run, "start_time"),
        end_time=time_of(run, "end_time"),
        sequence=run.sequence,
    )


def _state(number: int) -> str:
    return name_of(orchestrator_pb2.RunState, number, "RUN_STATE_") or RunState.RUNNING


def _source(source: orchestrator_pb2.Source) -> Source:
    return Source(
        artifact_sha256=source.artifact_sha256,
        size_bytes=source.size_bytes,
        lines=source.lines,
        replaced_bytes=source.replaced_bytes,
        redactions=dict(source.redactions),
    )


def _incident(incident: incident_pb2.Incident) -> Incident:
    return Incident(
        severity=incident.severity,
        cause=incident.cause,
        confidence=_share(incident.confidence),
        summary=incident.summary,
        evidence=tuple(
            Evidence(each.evidence_id, each.line, each.text, each.sha256) for each in incident.evidence
        ),
        patterns=tuple(
            Pattern(each.template, each.count, each.first_line, each.last_line) for each in incident.patterns
        ),
        claims=tuple(
            Claim(each.statement, each.cause, each.severity, _share(each.confidence), tuple(each.evidence))
            for each in incident.claims
        ),
    )


def _share(told: float) -> float:
    """What an agent said of itself: of what is no number, JSON could not tell."""
    return told if math.isfinite(told) else 0.0


def _planned(planned: incident_pb2.PlannedAction) -> PlannedAction:
    action = planned.action
    return PlannedAction(
        action_id=action.action_id,
        action=action.name,
        target=action.target,
        environment=action.environment,
        parameters=dict(action.parameters),
        least_tier=name_of(policy_pb2.Tier, planned.least_tier, "TIER_"),
        why=planned.why,
        evidence=tuple(planned.evidence),
    )


def _decision(decision: policy_pb2.Decision) -> Decision:
    return Decision(
        decision_id=decision.decision_id,
        action_id=decision.action_id,
        decision=name_of(policy_pb2.Verdict, decision.verdict, "VERDICT_"),
        rule=decision.rule,
        reason=decision.reason,
        explanation=decision.explanation,
        tier=name_of(policy_pb2.Tier, decision.tier, "TIER_"),
        policy_version=decision.policy_version,
        action_digest=decision.action_digest,
        obligations=tuple(decision.obligations),
        reservation_id=decision.reservation_id,
        changes=tuple(Change(each.what, each.to, each.by) for each in decision.changes),
    )


def _effect(effect: orchestrator_pb2.Effect) -> Effect:
    return Effect(
        effect_id=effect.effect_id,
        action_id=effect.action_id,
        state=name_of(orchestrator_pb2.EffectState, effect.state, "EFFECT_STATE_"),
        summary=effect.summary,
        output=effect.output,
        error_type=effect.error_type,
        error_message=effect.error_message,
        duration_ms=effect.duration_ms,
        changed=effect.changed,
    )


def _cycle(cycle: incident_pb2.ReasoningCycle) -> Cycle:
    return Cycle(
        cycle=cycle.number,
        belief=cycle.belief,
        cause=cycle.cause,
        evidence=tuple(cycle.evidence),
        score=_share(cycle.score),
        criticism=cycle.criticism,
        changed=cycle.changed,
    )


def _past(past: orchestrator_pb2.PastIncident) -> PastIncident:
    return PastIncident(
        similarity=past.similarity,
        seen=past.seen,
        last_run_id=past.last_run_id,
        last_time=time_of(past, "last_time"),
        last_reason=past.last_reason,
        last_outcome=past.last_outcome,
        tried=tuple(
            PastAction(each.name, each.previewed, each.succeeded, each.failed, each.helped)
            for each in past.tried
        ),
    )
