"""Agents: where they stand, what went wrong, and who is revoked."""

from kernel.events import Cause
from kernel.ports import Following
from services.state.domain.agent import Agent
from services.state.domain.errors import RecordError
from services.state.domain.faults import FieldInvalid
from services.state.domain.page import Page, before_last
from services.state.domain.revocation import AgentRevoked
from services.state.domain.snapshot import AgentSnapshot, snapshot
from services.state.domain.view import View
from services.state.handlers.kept import Kept, known
from services.state.handlers.locks import Standing, under_token
from services.state.handlers.working import Working
from services.state.handlers.writing import Writing
from services.state.ports import Mirror


class Agents:
    """What is kept of each agent."""

    def __init__(
        self,
        kept: Kept,
        view: View,
        mirror: Mirror,
        following: Following,
        working: Working,
        writing: Writing,
    ) -> None:
        self._agents = kept.agents
        self._view = view
        self._mirror = mirror
        self._following = following
        self._working = working
        self._writing = writing

    async def record_error(self, command: RecordError, cause: Cause) -> Standing:
        """Counted under the lock of its run; without a token, against whoever has the agent, in a task that it has had.

        Raises:
            FencingTokenStale: recorded, and the error is counted of nobody.
            AgentIsRevoked, Invalid, Unavailable.
        """
        # Not by its text, which is sealed anew, nor its token: what is told again after a crash counts once.
        asked = cause.about(
            command.task_id, command.run_id, command.error_type, str(command.procedure_violation)
        )
        with self._writing.by(cause.tenant, command.agent_id):
            if not command.fencing_token:
                await self._require_worked(command, cause)
            return await under_token(self._agents, command, asked)

    async def _require_worked(self, command: RecordError, cause: Cause) -> None:
        """A run that has lost its agent still says what went wrong: that it had it, its task alone can tell by then."""
        agent_id, task_id = command.agent_id, command.task_id
        if agent_id not in self._working.crew(cause.tenant, task_id, agent_id):
            await self._working.catch_up()  # it may have worked at another replica
            if agent_id not in self._working.crew(cause.tenant, task_id, agent_id):
                raise FieldInvalid("task_id", "must be a task that the agent has had a lock for")

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
