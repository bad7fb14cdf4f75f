"""Agents: registered, given secrets and sessions, revoked."""

import re
from dataclasses import dataclass, replace
from datetime import datetime
from operator import itemgetter

from kernel.events import Cause, derived_id
from kernel.faults import Invalid, Unavailable
from kernel.ports import Aggregates, Following
from services.policy.domain import secret
from services.policy.domain.agent import (
    Agent,
    Command,
    CreateSecret,
    CreateSession,
    RegisterAgent,
    RevokeAgent,
)
from services.policy.domain.faults import AgentUnknown, CredentialsRefused, SessionForgotten
from services.policy.domain.tier import Tier
from services.policy.handlers.pages import Page, page_of, size_of
from services.policy.handlers.policysets import PolicySets
from services.policy.ports import Means, Session

AGENT_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
NO_SECRET = secret.hashed("", "none")


@dataclass(frozen=True, slots=True)
class NewSecret:
    """Shown once."""

    role_id: str
    secret_id: str
    sequence: int


@dataclass(frozen=True, slots=True)
class NewSession:
    token: str
    agent_id: str
    tier: Tier
    expire_time: datetime
    sequence: int


class Agents:
    def __init__(
        self,
        agents: Aggregates[Agent, Command],
        following: Following,
        sets: PolicySets,
        means: Means,
    ) -> None:
        self._agents = agents
        self._following = following
        self._sets = sets
        self._signer = means.signer
        self._new_secret = means.new_secret
        self._new_id = means.new_id

    async def register(
        self, agent_id: str, tier: Tier, agent_version: str, cause: Cause
    ) -> tuple[Agent, int]:
        """The agent, new or as it was, and the sequence.

        Raises:
            Invalid (`MALFORMED_ID`), AgentAlreadyRegistered
        """
        if AGENT_ID.fullmatch(agent_id) is None:
            text = "agent_id must be 1 to 64 characters of A-Z, a-z, 0-9, '_' and '-'"
            raise Invalid("MALFORMED_ID", text, field="agent_id")
        # Names the agent, so that a session needs no search; it is no secret.
        role_id = f"{agent_id}.{derived_id(cause.tenant, 'role', agent_id).replace('-', '')}"
        command = RegisterAgent(agent_id, tier, agent_version, role_id, cause.at)
        appended = await self._agents.handle(agent_id, command, cause)
        return self._agents.current(cause.tenant, agent_id), appended.sequence

    async def read(self, tenant: str, agent_id: str, at_least_sequence: int) -> Agent:
        """The agent as this replica knows it, once it knows `at_least_sequence`.

        Raises:
            AgentUnknown
        """
        await self._following.reached(at_least_sequence)
        return self._known(tenant, agent_id)

    def list(self, tenant: str, page_size: int, page_token: str) -> Page[Agent]:
        """Agents by id."""
        rest = sorted((pair for pair in self._agents.all(tenant) if pair[0] > page_token), key=itemgetter(0))
        return page_of(rest, size_of(page_size))

    async def create_secret(self, agent_id: str, cause: Cause) -> NewSecret:
        """A new secret beside the one before it. Only its hash is kept, so a retry makes another.

        Raises:
            AgentUnknown, AgentIsRevoked
        """
        role_id = self._known(cause.tenant, agent_id).role_id
        secret_id = self._new_secret(32)
        command = CreateSecret(agent_id, secret.hashed(secret_id, self._new_secret(16)), cause.at)
        appended = await self._agents.handle(agent_id, command, self._never_repeated(cause))
        return NewSecret(role_id, secret_id, appended.sequence)

    async def create_session(self, role_id: str, secret_id: str, cause: Cause) -> NewSession:
        """A session token with the TTL of the agent's tier.

        Raises:
            CredentialsRefused: whatever is wrong with them.
            AgentIsRevoked: only to those who know the secret.
            Unavailable: the policy set in force, which says the TTL, cannot be read.
        """
        tenant, agent_id = cause.tenant, role_id.partition(".")[0]
        agent = self._agents.current(tenant, agent_id)
        if agent.registered is None:
            secret.matches(secret_id, NO_SECRET)  # takes as long as for an agent that there is
            raise CredentialsRefused
        policy = self._sets.in_force(tenant)
        if policy is None:
            raise Unavailable(
                "POLICY_SET_INVALID", "the policy set in force cannot be read: publish one that can"
            )
        ttl_seconds = policy.ttl_seconds[agent.tier]
        session_id = derived_id(tenant, "session", agent_id, cause.request_id).replace("-", "")
        command = CreateSession(role_id, secret_id, session_id, ttl_seconds, cause.at)
        appended = await self._agents.handle(agent_id, command, cause)
        opened = self._agents.current(tenant, agent_id).session(session_id)
        if opened is None:
            raise SessionForgotten
        token = self._signer.sign_session(
            Session(session_id, tenant, agent_id, opened.tier, opened.at, opened.expire_time)
        )
        return NewSession(token, agent_id, opened.tier, opened.expire_time, appended.sequence)

    async def revoke(self, agent_id: str, kind: str, details: str, cause: Cause) -> tuple[Agent, int]:
        """Take all power from an agent, for good.

        Raises:
            AgentUnknown, AgentAlreadyRevoked
        """
        self._known(cause.tenant, agent_id)
        command = RevokeAgent(agent_id, kind, details, cause.actor, cause.at)
        appended = await self._agents.handle(agent_id, command, cause)
        return self._agents.current(cause.tenant, agent_id), appended.sequence

    def _known(self, tenant: str, agent_id: str) -> Agent:
        agent = self._agents.current(tenant, agent_id)
        if agent.registered is None:
            raise AgentUnknown(agent_id)
        return agent

    def _never_repeated(self, cause: Cause) -> Cause:
        # A repeated request id would be answered with a secret whose hash is not the one that is kept.
        return replace(cause, request_id=self._new_id())
