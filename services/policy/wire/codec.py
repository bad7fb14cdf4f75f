"""Which domain event is which message."""

from chassis.eventlog.codec import Codec
from provost.policy.v1 import events_pb2
from provost.state.v1 import events_pb2 as state_events_pb2
from services.policy.domain import agent, approval, credentials, revocation, standing, votes
from services.policy.domain.action import Packet
from services.policy.domain.decision import DecisionsMade
from services.policy.domain.labels import RunLabelled
from services.policy.domain.policyset_published import PolicySetPublished, PolicySetRolledBack
from services.policy.wire.budgets import BUDGET_EVENTS
from services.policy.wire.decisions_made import decisions_made_to_wire
from services.policy.wire.outcomes import OUTCOMES


def packet_from_wire(event: state_events_pb2.PacketIssued) -> Packet:
    """What policy needs of an instruction packet."""
    packet = event.packet
    constraints = packet.constraints
    scope, forbidden = tuple(constraints.scope), tuple(constraints.forbidden)
    return Packet(packet.agent_id, packet.task_id, scope, forbidden, tuple(constraints.required_steps))


def labels_from_wire(event: state_events_pb2.RunLabelled) -> RunLabelled:
    """What policy needs to know of what a run has read."""
    return RunLabelled(event.agent_id, event.run_id, tuple(event.labels))


CODEC = Codec(
    {
        agent.AgentRegistered: events_pb2.AgentRegistered,
        credentials.AgentSecretCreated: events_pb2.AgentSecretCreated,
        credentials.SecretWrapped: events_pb2.SecretWrapped,
        credentials.SecretUnwrapped: events_pb2.SecretUnwrapped,
        credentials.SessionCreated: events_pb2.SessionCreated,
        standing.AgentPromoted: events_pb2.AgentPromoted,
        standing.AgentDemoted: events_pb2.AgentDemoted,
        standing.AgentSuspended: events_pb2.AgentSuspended,
        standing.AgentResumed: events_pb2.AgentResumed,
        revocation.AgentRevoked: events_pb2.AgentRevoked,
        revocation.RevocationConfirmed: events_pb2.RevocationConfirmed,
        approval.ApprovalRequested: events_pb2.ApprovalRequested,
        votes.ApprovalVoted: events_pb2.ApprovalVoted,
        votes.ApprovalAnswered: events_pb2.ApprovalAnswered,
        approval.ApprovalUsed: events_pb2.ApprovalUsed,
        PolicySetPublished: events_pb2.PolicySetPublished,
        PolicySetRolledBack: events_pb2.PolicySetRolledBack,
        DecisionsMade: events_pb2.DecisionsMade,
        **BUDGET_EVENTS,
    },
    upcasters={
        state_events_pb2.RunLabelled: labels_from_wire,
        state_events_pb2.PacketIssued: packet_from_wire,
        **OUTCOMES,
    },
    to_messages={DecisionsMade: decisions_made_to_wire},
)
