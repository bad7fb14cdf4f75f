"""Agents: registered, suspended and resumed, read. Their tiers move in `promotions`."""

import re

from kernel.events import Cause, derived_hex
from kernel.faults import Invalid
from kernel.ports import Following
from services.policy.domain.agent import Agent, RegisterAgent
from services.policy.domain.faults import AgentUnknown
from services.policy.domain.standing import ResumeAgent, SuspendAgent
from services.policy.domain.tier import Tier
from services.policy.handlers.known import found_agent
from services.policy.handlers.pages import Page, after, page_of, size_of
from services.policy.ports import Held

AGENT_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Agents:
    def __init__(
        self,
        held: Held,
        following: Following,
    ) -> None:
        self._held = held
        self._agents = held.agents
        self._following = following

    async def register(
        self, agent_id: str, tier: Tier, agent_version: str, parent_agent_id: str, cause: Cause
    ) -> tuple[Agent, int]:
        """The agent, new or as it was, and the sequence. `parent_agent_id` will control it, if given.

        Raises:
            Invalid (`MALFORMED_ID`), AgentAlreadyRegistered, ParentInvalid
            TierNotAtOnce: at T4, which people have to approve.
            CrewsAgentTooMuch: the built-in crew asks for more than its agents get.
        """
        if AGENT_ID.fullmatch(agent_id) is None:
            text = "agent_id must be 1 to 64 characters of A-Z, a-z, 0-9, '_' and '-'"
            raise Invalid("MALFORMED_ID", text, field="agent_id")
        # Names the agent, so that a session needs no search; it is no secret.
        role_id = f"{agent_id}.{derived_hex(cause.tenant, 'role', agent_id)}"
        parent = await self._parent(cause.tenant, parent_agent_id) if parent_agent_id else None
        command = RegisterAgent(
            agent_id, tier, agent_version, role_id, cause.at, parent_agent_id, cause.actor, parent
        )
        appended = await self._agents.handle(agent_id, command, cause)
        return self._agents.current(cause.tenant, agent_id), appended.sequence

    async def _parent(self, tenant: str, agent_id: str) -> Agent:
        try:
            return await found_agent(self._held, self._following, tenant, agent_id)
        except AgentUnknown:
            return Agent()

    async def suspend(self, agent_id: str, why: str, cause: Cause) -> tuple[Agent, int]:
        """Refuse it everything until it is resumed.

        Raises:
            AgentUnknown, AgentIsRevoked
        """
        await found_agent(self._held, self._following, cause.tenant, agent_id)
        return await self._change(SuspendAgent(agent_id, why, cause.actor, cause.at), cause)

    async def resume(self, agent_id: str, why: str, cause: Cause) -> tuple[Agent, int]:
        """Raises AgentUnknown, AgentIsRevoked."""
        await found_agent(self._held, self._following, cause.tenant, agent_id)
        return await self._change(ResumeAgent(agent_id, why, cause.actor, cause.at), cause)

    async def _change(self, command: SuspendAgent | ResumeAgent, cause: Cause) -> tuple[Agent, int]:
        agent_id = command.agent_id
        appended = await self._agents.handle(agent_id, command, cause)
        if (
            not appended.event_ids
        ):  # nothing to do; but another replica may have done the opposite a moment ago
            await self._held.catch_up(self._following)
            appended = await self._agents.handle(agent_id, command, cause)
        return self._agents.current(cause.tenant, agent_id), appended.sequence

    async def read(self, tenant: str, agent_id: str, at_least_sequence: int) -> Agent:
        """The agent as this replica knows it, once it knows `at_least_sequence`.

        Raises:
            AgentUnknown
        """
        await self._following.reached(at_least_sequence)
        return await found_agent(self._held, self._following, tenant, agent_id)

    def list(self, tenant: str, page_size: int, page_token: str) -> Page[Agent]:
        """Agents by id.

        Raises:
            Invalid: the token is not from this list.
        """
        agents = dict(self._agents.all(tenant))
        return page_of(
            ((each, agents[each]) for each in after(sorted(agents), page_token)), size_of(page_size)
        )
