"""Secrets and sessions: how an agent shows who it is."""

from dataclasses import dataclass, replace
from datetime import datetime

from kernel.events import Cause, derived_id
from kernel.faults import Unavailable
from kernel.ports import Aggregates
from services.policy.domain import secret
from services.policy.domain.agent import Agent, Command
from services.policy.domain.credentials import CreateSecret, CreateSession
from services.policy.domain.faults import AgentUnknown, CredentialsRefused, SessionForgotten
from services.policy.domain.tier import Tier
from services.policy.handlers.policysets import PolicySets
from services.policy.ports import Means, Session

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


class Sessions:
    def __init__(self, agents: Aggregates[Agent, Command], sets: PolicySets, means: Means) -> None:
        self._agents = agents
        self._sets = sets
        self._signer = means.signer
        self._new_secret = means.new_secret
        self._new_id = means.new_id

    async def create_secret(self, agent_id: str, cause: Cause) -> NewSecret:
        """A new secret beside the one before it. Only its hash is kept, so a retry makes another.

        Raises:
            AgentUnknown, AgentIsRevoked
        """
        agent = self._agents.current(cause.tenant, agent_id)
        if agent.registered is None:
            raise AgentUnknown(agent_id)
        secret_id = self._new_secret(32)
        command = CreateSecret(agent_id, secret.hashed(secret_id, self._new_secret(16)), cause.at)
        appended = await self._agents.handle(agent_id, command, self._never_repeated(cause))
        return NewSecret(agent.role_id, secret_id, appended.sequence)

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

    def _never_repeated(self, cause: Cause) -> Cause:
        # A repeated request id would be answered with a secret whose hash is not the one that is kept.
        return replace(cause, request_id=self._new_id())
