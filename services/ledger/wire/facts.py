"""What other services' events tell, in the ledger's own words: one function for each event that tells a fact."""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from provost.orchestrator.v1 import events_pb2 as orchestrator
from provost.orchestrator.v1 import orchestrator_pb2
from provost.policy.v1 import events_pb2 as policy
from provost.policy.v1 import policy_pb2
from provost.state.v1 import events_pb2 as state
from services.ledger.domain.facts import (
    Answered,
    Decided,
    Decision,
    Ended,
    Fact,
    Intended,
    Observed,
    Outcome,
    Planned,
    Requested,
    Revoked,
    TierGiven,
    Used,
    Violated,
)

_TIER = policy_pb2.Tier.DESCRIPTOR
_VERDICT = policy_pb2.Verdict.DESCRIPTOR
_LAST_SECOND = 253_402_300_799  # the end of year 9999
_DONE = {
    orchestrator_pb2.EFFECT_STATE_SUCCEEDED: True,
    orchestrator_pb2.EFFECT_STATE_FAILED: False,
    orchestrator_pb2.EFFECT_STATE_REFUSED: False,
    orchestrator_pb2.EFFECT_STATE_UNKNOWN: None,
}


def _decisions_made(event: policy.DecisionsMade) -> Decided:
    return Decided(tuple(_decision(each) for each in event.decisions))


def _decision(record: policy.DecisionRecord) -> Decision:
    return Decision(
        decision_id=record.decision_id,
        agent_id=record.agent_id,
        agent_version=record.agent_version,
        tier=_name(_TIER, record.tier, "TIER_"),
        action=record.action.name,
        target=record.action.target,
        verdict=_name(_VERDICT, record.verdict, "VERDICT_"),
        run_id=record.run_id,
        task_id=record.task_id,
        rule=record.rule,
        reason=record.reason,
        policy_version=record.policy_version,
        at_us=_microseconds(record.at),
    )


def _plan_recorded(event: orchestrator.PlanRecorded) -> Planned:
    confidence = event.incident.confidence
    return Planned(event.run_id, confidence if math.isfinite(confidence) else 0.0)


def _effect_intended(event: orchestrator.EffectIntended) -> Intended:
    return Intended(event.effect_id, event.decision_id)


def _effects_observed(event: orchestrator.EffectsObserved) -> Observed:
    # A preview touched nothing: it has no outcome.
    return Observed(tuple(_outcome(each) for each in event.effects if each.state in _DONE))


def _outcome(effect: orchestrator_pb2.Effect) -> Outcome:
    success = _DONE[effect.state]
    error_type = effect.error_type or ("EFFECT_OUTCOME_UNKNOWN" if success is None else "")
    return Outcome(effect.effect_id, success, error_type, effect.error_message)


def _agent_registered(event: policy.AgentRegistered) -> TierGiven:
    tier = _name(_TIER, event.tier, "TIER_")
    return TierGiven(event.agent_id, tier, "REGISTERED", event.registered_by, _microseconds(event.at))


def _tier_moved(event: policy.AgentPromoted | policy.AgentDemoted) -> TierGiven:
    grounds, tier = event.grounds, _name(_TIER, event.to_tier, "TIER_")
    rule = grounds.rule or ("PROMOTED" if isinstance(event, policy.AgentPromoted) else "DEMOTED")
    resting_on = [f"policy {grounds.policy_version}" if grounds.policy_version else ""]
    resting_on.append(f"approval {grounds.approval_id}" if grounds.approval_id else "")
    on = ", ".join(filter(None, resting_on))
    reason = f"{rule} ({on})" if on else rule
    reason = f"{reason}: {grounds.why}" if grounds.why else reason
    return TierGiven(event.agent_id, tier, reason, grounds.by, _microseconds(event.at))


def _agent_revoked(event: policy.AgentRevoked) -> Revoked:
    return Revoked(event.agent_id, _microseconds(event.at))


def _run_ended(event: orchestrator.RunEnded) -> Ended:
    counted = event.state != orchestrator_pb2.RUN_STATE_REFUSED
    return Ended(event.run_id, event.agent_id, counted, event.compliant, _microseconds(event.at))


def _error_recorded(event: state.ErrorRecorded) -> Violated | None:
    if not event.procedure_violation:
        return None
    return Violated(
        event.agent_id, event.run_id, event.task_id, event.error_type, event.message, _microseconds(event.at)
    )


def _approval_requested(event: policy.ApprovalRequested) -> Requested:
    return Requested(
        approval_id=event.approval_id,
        agent_id=event.agent_id,
        run_id=event.run_id,
        task_id=event.task_id,
        action=event.action.name,
        target=event.action.target,
        action_digest=event.action_digest,
        requested_by=event.requested_by,
        why=event.why,
        at_us=_microseconds(event.at),
        expire_us=_microseconds(event.expire_time),
    )


def _approval_answered(event: policy.ApprovalAnswered) -> Answered:
    at_us = _microseconds(event.at)
    return Answered(
        event.approval_id, event.approved, event.by, event.comment, at_us, event.changes_requested
    )


def _approval_used(event: policy.ApprovalUsed) -> Used:
    return Used(event.approval_id, event.decision_id, _microseconds(event.at))


FACTS: dict[type[Message], Callable[[Any], Fact | None]] = {
    policy.DecisionsMade: _decisions_made,
    policy.AgentRegistered: _agent_registered,
    policy.AgentPromoted: _tier_moved,
    policy.AgentDemoted: _tier_moved,
    policy.AgentRevoked: _agent_revoked,
    policy.ApprovalRequested: _approval_requested,
    policy.ApprovalAnswered: _approval_answered,
    policy.ApprovalUsed: _approval_used,
    orchestrator.PlanRecorded: _plan_recorded,
    orchestrator.EffectIntended: _effect_intended,
    orchestrator.EffectsObserved: _effects_observed,
    orchestrator.RunEnded: _run_ended,
    state.ErrorRecorded: _error_recorded,
}
"""How each event that tells a fact is read."""


@lru_cache(maxsize=1024)  # a look into a descriptor costs more than reading a message
def _name(enum: EnumDescriptor, number: int, prefix: str) -> str:
    """The name without its prefix; empty when unset, the number when this program does not know it."""
    if not number:
        return ""
    known = enum.values_by_number.get(number)
    return str(number) if known is None else str(known.name).removeprefix(prefix)


def _microseconds(at: Timestamp) -> int:
    """Microseconds since 1970, and 0 for a time that no calendar has."""
    return at.seconds * 1_000_000 + at.nanos // 1000 if abs(at.seconds) <= _LAST_SECOND else 0
