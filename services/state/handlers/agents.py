"""Agents: where they stand, what went wrong, and who is revoked."""

from kernel.events import Cause
from kernel.ports import Following
from services.state.domain.agent import Agent
from services.state.domain.errors import RecordError
from services.state.domain.page import Page, before_last
from services.state.domain.revocation import AgentRevoked
from services.state.domain.snapshot import AgentSnapshot, snapshot
from services.state.domain.view import View
from services.state.handlers.kept import Kept, known
from services.state.handlers.locks import Standing, under_token
from services.state.ports import Mirror


class Agents:
    """What is kept of each agent."""

    def __init__(self, kept: Kept, view: View, mirror: Mirror, following: Following) -> None:
        self._agents = kept.agents
        self._view = view
        self._mirror = mirror
        self._following = following

    async def record_error(self, command: RecordError, cause: Cause) -> Standing:
        """Raises FencingTokenStale (recorded): the error is then counted of nobody. Invalid."""
        # Not by its text, which is sealed anew, nor its token: what is told again after a crash counts once.
        asked = cause.about(
            command.task_id, command.run_id, command.error_type, str(command.procedure_violation)
        )
        return await under_token(self._agents, command, asked)

    async def look_at(self, agent_id: str, at_least_sequence: int, cause: Cause) -> tuple[Agent, str | None]:
        """The agent as the log has it, and when it was last heard of. Raises AgentStateUnknown, Unavailable.

        What this process has written is in memory before it is answered; heartbeats lie in the store alone.
        """
        await self._following.reached(at_least_sequence)
        known(self._agents, cause.tenant, agent_id)
        heartbeat = await self._mirror.heartbeat(cause.tenant, agent_id)
        return known(self._agents, cause.tenant, agent_id), heartbeat

    async def get_agent_state(self, agent_id: str, at_least_sequence: int, cause: Cause) -> AgentSnapshot:
        """Raises AgentStateUnknown, Unavailable."""
        return snapshot(*await self.look_at(agent_id, at_least_sequence, cause), cause.at)

    def list_revocations(self, page_size: int, page_token: str, cause: Cause) -> Page[AgentRevoked]:
        """Newest first. Raises Invalid."""
        known = self._view.revocations.get(cause.tenant)
        return before_last(known.event if known else (), page_size, page_token)

    def is_revoked(self, tenant: str, agent_id: str) -> bool:
        """Whether policy's revocation of the agent has been followed."""
        return self._view.is_revoked(tenant, agent_id)
