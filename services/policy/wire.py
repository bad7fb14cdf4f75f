"""Between policy's domain and its protos."""

from datetime import UTC, datetime
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from chassis.eventlog.codec import Codec
from kernel.faults import Exhausted, Invalid
from provost.policy.v1 import events_pb2, policy_pb2
from provost.state.v1 import events_pb2 as state_events_pb2
from services.policy.domain import agent, approval
from services.policy.domain.action import Action, Mode, Packet, RunContext
from services.policy.domain.decision import DecisionRecord, DecisionsMade, Judgement
from services.policy.domain.policyset import PolicySetPublished
from services.policy.domain.tier import Tier

MAX_TEXT = 4096
MAX_ID = 128
MAX_PARAMETERS = 64

TIERS: Final = {tier: policy_pb2.Tier.Value(f"TIER_{tier}") for tier in Tier}
MODES: Final = {policy_pb2.Mode.Value(f"MODE_{mode}"): mode for mode in Mode}
_TIER_OF: Final = {number: tier for tier, number in TIERS.items()}


def packet_from_wire(event: state_events_pb2.PacketIssued) -> Packet:
    """What policy needs of an instruction packet."""
    packet = event.packet
    constraints = packet.constraints
    return Packet(packet.agent_id, packet.task_id, tuple(constraints.scope), tuple(constraints.forbidden))


CODEC = Codec(
    {
        agent.AgentRegistered: events_pb2.AgentRegistered,
        agent.AgentSecretCreated: events_pb2.AgentSecretCreated,
        agent.SessionCreated: events_pb2.SessionCreated,
        agent.AgentRevoked: events_pb2.AgentRevoked,
        approval.ApprovalRequested: events_pb2.ApprovalRequested,
        approval.ApprovalAnswered: events_pb2.ApprovalAnswered,
        approval.ApprovalUsed: events_pb2.ApprovalUsed,
        PolicySetPublished: events_pb2.PolicySetPublished,
        DecisionsMade: events_pb2.DecisionsMade,
    },
    upcasters={state_events_pb2.PacketIssued: packet_from_wire},
)


def tier_from_wire(tier: policy_pb2.Tier.ValueType) -> Tier:
    """Raises Invalid, reason `UNKNOWN_TIER`."""
    known = _TIER_OF.get(tier)
    if known is None:
        raise Invalid("UNKNOWN_TIER", f"tier must be one of {', '.join(Tier)}", field="tier")
    return known


def context_from_wire(context: policy_pb2.RunContext) -> RunContext:
    """Raises Invalid: an id is missing or too long."""
    return RunContext(
        bounded(context.run_id, "context.run_id", MAX_ID),
        bounded(context.task_id, "context.task_id", MAX_ID),
        bounded(context.agent_id, "context.agent_id", MAX_ID),
        MODES.get(context.mode),
        context.fencing_token,
        context.at_least_sequence,
        bounded(context.subject_key, "context.subject_key", MAX_ID, least=0),
    )


def action_from_wire(action: policy_pb2.Action) -> Action:
    """Raises Invalid or Exhausted: a part is missing or too long."""
    if len(action.parameters) > MAX_PARAMETERS:
        raise Exhausted(
            "MESSAGE_TOO_LARGE",
            f"an action has at most {MAX_PARAMETERS} parameters",
            field="action.parameters",
        )
    parameters = {
        bounded(name, "action.parameters", MAX_ID): bounded(
            value, f"action.parameters.{name}", MAX_TEXT, least=0
        )
        for name, value in action.parameters.items()
    }
    return Action(
        bounded(action.action_id, "action.action_id", MAX_ID, least=0),
        bounded(action.name, "action.name", MAX_ID),
        bounded(action.target, "action.target", MAX_TEXT, least=0),
        bounded(action.environment, "action.environment", MAX_ID, least=0),
        parameters,
    )


def bounded(value: str, field: str, most: int, *, least: int = 1) -> str:
    """`value`, if it has `least` to `most` characters.

    Raises:
        Invalid: naming `field`.
    """
    if not least <= len(value) <= most:
        reason = "FIELD_INVALID" if value else "FIELD_MISSING"
        raise Invalid(reason, f"{field} must have {least} to {most} characters", field=field)
    return value


def action_to_wire(action: Action) -> policy_pb2.Action:
    return policy_pb2.Action(
        action_id=action.action_id,
        name=action.name,
        target=action.target,
        environment=action.environment,
        parameters=action.parameters,
    )


def decision_to_wire(
    record: DecisionRecord, judgement: Judgement, permit: str, permit_expire_time: datetime | None
) -> policy_pb2.Decision:
    """Set field by field: this is the hot path."""
    decision = policy_pb2.Decision(
        decision_id=record.decision_id,
        action_id=record.action.action_id,
        verdict=_VERDICTS[record.verdict],
        rule=record.rule,
        reason=record.reason,
        explanation=record.explanation,
        tier=policy_pb2.TIER_UNSPECIFIED if record.tier is None else TIERS[record.tier],
        policy_version=record.policy_version,
        action_digest=record.action_digest,
        obligations=judgement.obligations,
        permit=permit,
    )
    if permit_expire_time is not None:
        decision.permit_expire_time.CopyFrom(stamp(permit_expire_time))
    return decision


def agent_to_wire(held: agent.Agent) -> policy_pb2.Agent:
    shown = policy_pb2.Agent(
        agent_id=held.agent_id,
        tier=TIERS[held.tier],
        state=policy_pb2.AgentState.Value(f"AGENT_STATE_{held.state}"),
        agent_version=held.agent_version,
    )
    if held.registered is not None:
        shown.register_time.CopyFrom(stamp(held.registered.at))
    if held.revoked is not None:
        shown.revoke_reason = ": ".join(part for part in (held.revoked.kind, held.revoked.details) if part)
        shown.revoked_by = held.revoked.by
        shown.revoke_time.CopyFrom(stamp(held.revoked.at))
    return shown


def approval_to_wire(
    requested: approval.ApprovalRequested,
    state: approval.ApprovalState,
    answered: approval.ApprovalAnswered | None,
) -> policy_pb2.Approval:
    shown = policy_pb2.Approval(
        approval_id=requested.approval_id,
        state=policy_pb2.ApprovalState.Value(f"APPROVAL_STATE_{state}"),
        action=action_to_wire(requested.action),
        action_digest=requested.action_digest,
        run_id=requested.run_id,
        agent_id=requested.agent_id,
        requested_by=requested.requested_by,
        why=requested.why,
        request_time=stamp(requested.at),
        expire_time=stamp(requested.expire_time),
    )
    if answered is not None:
        shown.answered_by, shown.comment = answered.by, answered.comment
        shown.answer_time.CopyFrom(stamp(answered.at))
    return shown


def approval_state_from_wire(state: policy_pb2.ApprovalState.ValueType) -> approval.ApprovalState:
    """Unspecified means pending. Raises Invalid: nobody knows it."""
    if state == policy_pb2.APPROVAL_STATE_UNSPECIFIED:
        return approval.ApprovalState.PENDING
    try:
        return approval.ApprovalState(policy_pb2.ApprovalState.Name(state).removeprefix("APPROVAL_STATE_"))
    except ValueError:
        known = ", ".join(approval.ApprovalState)
        raise Invalid("FIELD_INVALID", f"state must be one of {known}", field="state") from None


def stamp(at: datetime) -> Timestamp:
    made = Timestamp()
    made.FromDatetime(at.astimezone(UTC))
    return made


_VERDICTS: Final = {
    verdict: policy_pb2.Verdict.Value(f"VERDICT_{verdict}") for verdict in ("ALLOW", "DENY", "NEEDS_APPROVAL")
}
