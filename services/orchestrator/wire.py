"""Runs on the wire: records and messages map by structure; the codec table names every event of the orchestrator."""

from chassis.eventlog.codec import Codec
from chassis.mapping import Mapper
from provost.orchestrator.v1 import events_pb2 as events
from provost.orchestrator.v1 import incident_pb2, orchestrator_pb2
from provost.policy.v1 import policy_pb2
from provost.state.v1 import state_pb2
from services.orchestrator.domain import facts, phases, records, run
from services.orchestrator.ports.crew import Task
from services.orchestrator.ports.policy import RunContext

EVENTS = Codec(
    {
        facts.RunStarted: events.RunStarted,
        facts.RunAssigned: events.RunAssigned,
        facts.RunPhaseEntered: events.RunPhaseEntered,
        facts.PlanRecorded: events.PlanRecorded,
        facts.ActionsDecided: events.ActionsDecided,
        facts.ApprovalsAwaited: events.ApprovalsAwaited,
        facts.EffectIntended: events.EffectIntended,
        facts.EffectsObserved: events.EffectsObserved,
        facts.RunVerified: events.RunVerified,
        facts.RunPackaged: events.RunPackaged,
        facts.RunEnded: events.RunEnded,
    }
)

ACTION = Mapper(records.Action, policy_pb2.Action)
DECISION = Mapper(records.Decision, policy_pb2.Decision)
CONTEXT = Mapper(RunContext, policy_pb2.RunContext)
PACKET = Mapper(records.Packet, state_pb2.Packet)
COUNTS = Mapper(records.ErrorCounts, state_pb2.ErrorCounts)
HANDOFF = Mapper(records.Handoff, state_pb2.Handoff)
EFFECT = Mapper(records.Effect, orchestrator_pb2.Effect)
PROPOSAL = Mapper(records.Proposal, orchestrator_pb2.Proposal)
TASK = Mapper(Task, orchestrator_pb2.Task)
_INCIDENT = Mapper(records.Incident, incident_pb2.Incident)
_PLANNED = Mapper(records.PlannedAction, incident_pb2.PlannedAction)
_CYCLE = Mapper(records.ReasoningCycle, incident_pb2.ReasoningCycle)
_PAST = Mapper(records.PastIncident, orchestrator_pb2.PastIncident)
_SOURCE = Mapper(records.Source, orchestrator_pb2.Source)
_CHECK = Mapper(records.Check, orchestrator_pb2.Check)


def run_to_wire(view: run.Run, sequence: int, answered: frozenset[str] = frozenset()) -> orchestrator_pb2.Run:
    """A run as callers see it: cycles are left out when it was started without a trace, and the approvals it waits for
    that are `answered`."""
    started = view.known
    waits = view.approval_ids if view.state is phases.RunState.WAITING else {}
    asked = (
        waits[action_id] for action_id in view.decisions if action_id in waits
    )  # in the order of the plan
    message = orchestrator_pb2.Run(
        run_id=started.run_id,
        task_id=started.task_id,
        agent_id=view.agent_id,
        mode=policy_pb2.Mode.Value(f"MODE_{started.mode}"),
        state=orchestrator_pb2.RunState.Value(f"RUN_STATE_{view.state}"),
        phase=orchestrator_pb2.Phase.Value(f"PHASE_{view.phase or 'UNSPECIFIED'}"),
        objective=started.objective,
        source=_SOURCE.to_message(started.source) if started.source else None,
        incident=_INCIDENT.to_message(view.incident) if view.incident else None,
        plan=[_PLANNED.to_message(planned) for planned in view.plan or ()],
        decisions=[DECISION.to_message(decision) for decision in view.decisions.values()],
        effects=[EFFECT.to_message(effect) for effect in view.effects.values()],
        cycles=[_CYCLE.to_message(cycle) for cycle in view.cycles] if started.include_trace else [],
        waiting_for=[each for each in asked if each not in answered],
        reason=view.reason,
        outcome=view.outcome,
        requested_by=started.requested_by,
        report_sha256=view.report_sha256,
        sequence=sequence,
        strategy=orchestrator_pb2.Strategy.Value(f"STRATEGY_{started.strategy}"),
        include_trace=started.include_trace,
        checks=[_CHECK.to_message(check) for check in view.checks or ()],
        past=[_PAST.to_message(past) for past in view.past],
    )
    message.start_time.FromDatetime(started.at)
    if view.ended_at is not None:
        message.end_time.FromDatetime(view.ended_at)
    return message
