"""Agents, between policy's domain and its protos."""

from provost.policy.v1 import policy_pb2
from services.policy.domain.agent import Agent
from services.policy.wire.texts import stamp
from services.policy.wire.tiers import TIERS


def agent_to_wire(held: Agent) -> policy_pb2.Agent:
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
