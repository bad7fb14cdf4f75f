"""Agents, between policy's domain and its protos."""

from provost.policy.v1 import policy_pb2
from services.policy.domain.agent import Agent
from services.policy.domain.track_record import TrackRecord
from services.policy.wire.texts import stamp
from services.policy.wire.tiers import TIERS


def agent_to_wire(held: Agent, record: TrackRecord) -> policy_pb2.Agent:
    shown = policy_pb2.Agent(
        agent_id=held.agent_id,
        tier=TIERS[held.tier],
        state=policy_pb2.AgentState.Value(f"AGENT_STATE_{held.state}"),
        agent_version=held.agent_version,
        record=policy_pb2.TrackRecord(
            verified_runs=record.verified_runs,
            compliant_in_row=record.compliant_in_row,
            violations=record.violations,
            violations_at_tier=record.violations_at_tier,
        ),
    )
    if held.tier_since is not None:
        shown.record.tier_since_time.CopyFrom(stamp(held.tier_since))
    if held.registered is not None:
        shown.register_time.CopyFrom(stamp(held.registered.at))
        shown.parent_agent_id = held.registered.parent_agent_id
        shown.registered_by = held.registered.registered_by
    if held.suspended is not None:
        shown.suspend_reason = held.suspended.why
    if held.revoked is not None:
        shown.revoke_reason = ": ".join(part for part in (held.revoked.kind, held.revoked.details) if part)
        shown.revoked_by = held.revoked.by
        shown.revoke_time.CopyFrom(stamp(held.revoked.at))
    elif held.fell_with:
        shown.revoke_reason = f"parent_revoked: {held.fell_with}, which controls it, was revoked"
    return shown
