"""Revocation: all power is taken away at once, and whoever held some of it says that it is gone."""

from kernel.events import Cause
from kernel.ports import Aggregates
from services.policy.domain.agent import Agent, Command
from services.policy.domain.faults import AgentUnknown
from services.policy.domain.revocation import RevokeAgent


class Revocation:
    def __init__(self, agents: Aggregates[Agent, Command]) -> None:
        self._agents = agents

    async def revoke(self, agent_id: str, kind: str, details: str, cause: Cause) -> tuple[Agent, int]:
        """Take all power from an agent, for good.

        Raises:
            AgentUnknown, AgentAlreadyRevoked
        """
        if self._agents.current(cause.tenant, agent_id).registered is None:
            raise AgentUnknown(agent_id)
        command = RevokeAgent(agent_id, kind, details, cause.actor, cause.at)
        appended = await self._agents.handle(agent_id, command, cause)
        return self._agents.current(cause.tenant, agent_id), appended.sequence
