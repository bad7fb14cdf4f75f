"""Agents: registered, read, suspended, moved up and down. Revoked: `revocation`."""

from chassis.rpc.cause import Context, cause_of
from provost.policy.v1 import policy_pb2 as pb
from provost.policy.v1.policy_pb2_grpc import PolicyServiceServicer
from services.policy.domain.agent import Agent
from services.policy.handlers import Policy
from services.policy.rpc.approvals import approval_shown
from services.policy.rpc.callers import admitted
from services.policy.wire.agents import agent_to_wire
from services.policy.wire.texts import MAX_ID, MAX_TEXT, bounded
from services.policy.wire.tiers import tier_from_wire


class AgentsRpc(PolicyServiceServicer):
    """Who there is, and at which tier."""

    _policy: Policy

    async def RegisterAgent(
        self, request: pb.RegisterAgentRequest, context: Context
    ) -> pb.RegisterAgentResponse:
        tenant = admitted(context, "RegisterAgent").tenant
        version = bounded(request.agent_version, "agent_version", MAX_ID, least=0)
        agent, sequence = await self._policy.agents.register(
            request.agent_id,
            tier_from_wire(request.tier),
            version,
            request.parent_agent_id,
            cause_of(context, request.request_id),
        )
        return pb.RegisterAgentResponse(agent=self._shown(tenant, agent), sequence=sequence)

    async def GetAgent(self, request: pb.GetAgentRequest, context: Context) -> pb.GetAgentResponse:
        tenant = admitted(context, "GetAgent").tenant
        agent = await self._policy.agents.read(tenant, request.agent_id, request.at_least_sequence)
        return pb.GetAgentResponse(agent=self._shown(tenant, agent))

    async def ListAgents(self, request: pb.ListAgentsRequest, context: Context) -> pb.ListAgentsResponse:
        tenant = admitted(context, "ListAgents").tenant
        page = self._policy.agents.list(tenant, request.page_size, request.page_token)
        agents = (self._shown(tenant, agent) for agent in page.items)
        return pb.ListAgentsResponse(agents=agents, next_page_token=page.next_token)

    async def SuspendAgent(
        self, request: pb.SuspendAgentRequest, context: Context
    ) -> pb.SuspendAgentResponse:
        tenant = admitted(context, "SuspendAgent").tenant
        why = bounded(request.why, "why", MAX_TEXT, least=0)
        cause = cause_of(context, request.request_id)
        agent, sequence = await self._policy.agents.suspend(request.agent_id, why, cause)
        return pb.SuspendAgentResponse(agent=self._shown(tenant, agent), sequence=sequence)

    async def ResumeAgent(self, request: pb.ResumeAgentRequest, context: Context) -> pb.ResumeAgentResponse:
        tenant = admitted(context, "ResumeAgent").tenant
        why = bounded(request.why, "why", MAX_TEXT, least=0)
        cause = cause_of(context, request.request_id)
        agent, sequence = await self._policy.agents.resume(request.agent_id, why, cause)
        return pb.ResumeAgentResponse(agent=self._shown(tenant, agent), sequence=sequence)

    async def PromoteAgent(
        self, request: pb.PromoteAgentRequest, context: Context
    ) -> pb.PromoteAgentResponse:
        tenant = admitted(context, "PromoteAgent").tenant
        why = bounded(request.why, "why", MAX_TEXT, least=0)
        cause = cause_of(context, request.request_id)
        to_tier = tier_from_wire(request.to_tier)
        agent, sequence, waits = await self._policy.promotions.promote(request.agent_id, to_tier, why, cause)
        return pb.PromoteAgentResponse(
            agent=self._shown(tenant, agent),
            sequence=sequence,
            approval=approval_shown(waits) if waits is not None else None,
        )

    async def DemoteAgent(self, request: pb.DemoteAgentRequest, context: Context) -> pb.DemoteAgentResponse:
        tenant = admitted(context, "DemoteAgent").tenant
        why = bounded(request.why, "why", MAX_TEXT, least=0)
        cause = cause_of(context, request.request_id)
        to_tier = tier_from_wire(request.to_tier)
        agent, sequence = await self._policy.promotions.demote(request.agent_id, to_tier, why, cause)
        return pb.DemoteAgentResponse(agent=self._shown(tenant, agent), sequence=sequence)

    def _shown(self, tenant: str, agent: Agent) -> pb.Agent:
        return agent_to_wire(agent, self._policy.promotions.record(tenant, agent.agent_id))
