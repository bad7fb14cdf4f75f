"""Agents: registered, read, revoked."""

from chassis.rpc.cause import cause_of
from provost.policy.v1 import policy_pb2 as pb
from provost.policy.v1.policy_pb2_grpc import PolicyServiceServicer
from services.policy.handlers import Policy
from services.policy.rpc.callers import Context, admitted
from services.policy.wire.agents import agent_to_wire
from services.policy.wire.texts import MAX_ID, MAX_TEXT, bounded
from services.policy.wire.tiers import tier_from_wire


class AgentsRpc(PolicyServiceServicer):
    """Who there is, and at which tier."""

    _policy: Policy

    async def RegisterAgent(
        self, request: pb.RegisterAgentRequest, context: Context
    ) -> pb.RegisterAgentResponse:
        admitted(context, "RegisterAgent")
        version = bounded(request.agent_version, "agent_version", MAX_ID, least=0)
        agent, sequence = await self._policy.agents.register(
            request.agent_id,
            tier_from_wire(request.tier),
            version,
            cause_of(context, request.request_id),
        )
        return pb.RegisterAgentResponse(agent=agent_to_wire(agent), sequence=sequence)

    async def GetAgent(self, request: pb.GetAgentRequest, context: Context) -> pb.GetAgentResponse:
        tenant = admitted(context, "GetAgent").tenant
        agent = await self._policy.agents.read(tenant, request.agent_id, request.at_least_sequence)
        return pb.GetAgentResponse(agent=agent_to_wire(agent))

    async def ListAgents(self, request: pb.ListAgentsRequest, context: Context) -> pb.ListAgentsResponse:
        tenant = admitted(context, "ListAgents").tenant
        page = self._policy.agents.list(tenant, request.page_size, request.page_token)
        return pb.ListAgentsResponse(agents=map(agent_to_wire, page.items), next_page_token=page.next_token)

    async def RevokeAgent(self, request: pb.RevokeAgentRequest, context: Context) -> pb.RevokeAgentResponse:
        admitted(context, "RevokeAgent")
        kind = bounded(request.kind or "operator", "kind", MAX_ID)
        details = bounded(request.details, "details", MAX_TEXT, least=0)
        cause = cause_of(context, request.request_id)
        agent, sequence = await self._policy.revocation.revoke(request.agent_id, kind, details, cause)
        return pb.RevokeAgentResponse(agent=agent_to_wire(agent), sequence=sequence)
