"""Secrets and sessions: how an agent shows who it is."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from kernel.events import Cause, derived_hex
from kernel.faults import Invalid, Unavailable
from kernel.ports import Following
from services.policy.domain import secret
from services.policy.domain.agent import Agent, Command
from services.policy.domain.credentials import (
    CreateSecret,
    CreateSession,
    UnwrapSecret,
    WrapSecret,
    unwrapped,
)
from services.policy.domain.crew import require_own
from services.policy.domain.faults import (
    AgentIsRevoked,
    CredentialsRefused,
    SecretLost,
    SessionForgotten,
    WrappingTokenInvalid,
)
from services.policy.domain.tier import Tier
from services.policy.handlers.fresh import require_fresh
from services.policy.handlers.known import found_agent
from services.policy.handlers.policysets import PolicySets
from services.policy.ports import Held, Means
from services.policy.ports.signing import Session

LONGEST_WRAP_SECONDS = 86_400
LONGEST_SECRET = 1024


@dataclass(frozen=True, slots=True)
class NewSecret:
    """Shown once."""

    role_id: str
    secret_id: str = field(repr=False)
    sequence: int


@dataclass(frozen=True, slots=True)
class NewWrapping:
    """Shown once."""

    role_id: str
    token: str = field(repr=False)
    expire_time: datetime
    sequence: int


@dataclass(frozen=True, slots=True)
class NewSession:
    token: str = field(repr=False)
    agent_id: str
    tier: Tier
    expire_time: datetime
    sequence: int


class Sessions:
    """`owe` is told (tenant, agent_id) who may have been given outside what it may no longer."""

    def __init__(
        self,
        held: Held,
        following: Following,
        sets: PolicySets,
        means: Means,
        owe: Callable[[str, str], None],
    ) -> None:
        self._held = held
        self._following = following
        self._agents = held.agents
        self._sets = sets
        self._owe = owe
        self._identity = means.identity
        self._signer = means.signer
        self._new_secret = means.new_secret
        self._new_id = means.new_id

    async def create_secret(self, agent_id: str, cause: Cause) -> NewSecret:
        """A new secret beside the one before it. What is kept of it does not tell it, so a retry makes another.

        Raises:
            AgentUnknown, AgentIsRevoked
            NotTheCrews: the built-in crew asks, and did not register it.
            Unavailable (`VAULT_UNREACHABLE`)
        """
        agent = await self._known(agent_id, cause)
        made = await self._identity.new_secret(cause.tenant, agent)
        sequence = await self._change(agent_id, CreateSecret(agent_id, made.kept, cause.at), cause)
        return NewSecret(agent.role_id, made.secret_id, sequence)

    async def wrap_secret(self, agent_id: str, seconds: int, cause: Cause) -> NewWrapping:
        """A token that stands for a new secret, once, for so long.

        Raises:
            Invalid (`FIELD_INVALID`): it would be good for too long.
            AgentUnknown, AgentIsRevoked
            NotTheCrews: the built-in crew asks, and did not register it.
            Unavailable (`VAULT_UNREACHABLE`)
        """
        if not 0 < seconds <= LONGEST_WRAP_SECONDS:
            text = f"wrap_seconds must be from 1 to {LONGEST_WRAP_SECONDS}, or 0 for a secret that is not wrapped"
            raise Invalid("FIELD_INVALID", text, field="wrap_seconds")
        agent = await self._known(agent_id, cause)
        wrapping_id = self._new_id()
        inner = await self._identity.wrap(cause.tenant, agent, seconds)
        # Says whose it is, so that showing it needs no search; only its last part is secret.
        token = f"{agent_id}.{wrapping_id}.{inner}"
        expire_time = cause.at + timedelta(seconds=seconds)
        kept = secret.hashed(token, self._new_secret(16))
        command = WrapSecret(agent_id, wrapping_id, kept, cause.at, expire_time)
        return NewWrapping(agent.role_id, token, expire_time, await self._change(agent_id, command, cause))

    async def unwrap_secret(self, token: str, cause: Cause) -> NewSecret:
        """The secret that a wrapping token stands for; the token is good for nothing afterwards.

        Raises:
            WrappingTokenInvalid: whatever is wrong with it.
            AgentIsRevoked: only to those who have the right token.
            Unavailable (`VAULT_UNREACHABLE`; `DECIDER_STALE`): the token is good still.
            SecretLost: it is not, and nobody has the secret.
        """
        agent_id, _, rest = token.partition(".")
        wrapping_id, _, inner = rest.partition(".")
        agent = self._agents.current(cause.tenant, agent_id)
        command = UnwrapSecret(agent_id, wrapping_id, token, "", cause.at)
        try:
            unwrapped(agent.wrapped, command)  # nobody else is asked about a token that the log does not know
        except WrappingTokenInvalid:
            newer = await self._newer(cause.tenant, agent_id, agent)
            if newer is None:
                raise
            agent = newer
            unwrapped(agent.wrapped, command)
        if agent.fell_with:
            raise AgentIsRevoked(agent_id)
        require_fresh(self._following)  # who hears nothing of the log will not be able to write to it
        made = await self._identity.unwrap(cause.tenant, agent, inner)
        try:
            sequence = await self._change(agent_id, replace(command, secret_hash=made.kept), cause)
        except Unavailable as fault:
            if not self._identity.surface:
                raise
            raise SecretLost(fault.text) from fault  # asked again, it would seem to have been used by another
        return NewSecret(agent.role_id, made.secret_id, sequence)

    async def create_session(self, role_id: str, secret_id: str, cause: Cause) -> NewSession:
        """A session token with the TTL of the agent's tier.

        Raises:
            CredentialsRefused: whatever is wrong with them.
            AgentIsRevoked, AgentIsSuspended: only to those who know the secret.
            SessionForgotten: the session of this request id is long past.
            Unavailable: the policy set in force, which says the TTL, cannot be read; or `VAULT_UNREACHABLE`.
            TierMoved: try again.
        """
        if len(secret_id) > LONGEST_SECRET:
            raise CredentialsRefused  # Vault fails at some lengths, and would seem to be out of order
        agent_id = role_id.partition(".")[0]
        agent = self._agents.current(cause.tenant, agent_id)
        try:
            return await self._create_session(agent_id, agent, role_id, secret_id, cause)
        except CredentialsRefused:
            newer = await self._newer(cause.tenant, agent_id, agent)
            if newer is None:
                raise
        return await self._create_session(agent_id, newer, role_id, secret_id, cause)

    async def _create_session(
        self, agent_id: str, before: Agent, role_id: str, secret_id: str, cause: Cause
    ) -> NewSession:
        tenant = cause.tenant
        ttl_seconds = self._sets.required(tenant).ttl_seconds[before.tier]
        shown = await self._identity.shown(tenant, before, secret_id, ttl_seconds)
        session_id = derived_hex(tenant, "session", agent_id, cause.request_id)
        command = CreateSession(
            role_id, shown.kept, session_id, before.tier, ttl_seconds, cause.at, shown.accessor
        )
        given = {shown.accessor} - {""}
        try:
            appended = await self._agents.handle(agent_id, command, cause)
            now = self._agents.current(tenant, agent_id)
            opened = now.session(session_id)
            if opened is None:
                raise SessionForgotten
            if now.fell_with:
                raise AgentIsRevoked(agent_id)  # with one above it: that event is not among its own
            given.discard(opened.accessor)
        finally:
            # What was given for a session that did not come to be, and for those that nobody remembers any more.
            left = self._agents.current(tenant, agent_id)
            gone = (
                {each.accessor for each in before.sessions} - {each.accessor for each in left.sessions} - {""}
            )
            if (left.tier, left.suspended) != (before.tier, before.suspended):
                self._owe(tenant, agent_id)
            if given or gone:
                await self._identity.forget(tenant, left, (), given | gone)
        token = self._signer.sign_session(
            Session(session_id, tenant, agent_id, opened.tier, opened.at, opened.expire_time)
        )
        return NewSession(token, agent_id, opened.tier, opened.expire_time, appended.sequence)

    async def _newer(self, tenant: str, agent_id: str, agent: Agent) -> Agent | None:
        """What the agent really is, if that was not known here: another replica may just have made what it shows."""
        await self._held.catch_up(self._following)
        now = self._agents.current(tenant, agent_id)
        return None if now is agent else now

    async def _known(self, agent_id: str, cause: Cause) -> Agent:
        agent = await found_agent(self._held, self._following, cause.tenant, agent_id)
        assert agent.registered is not None, "it is known"
        # Before a secret is made anywhere; who registered an agent never changes.
        require_own(cause.actor, agent.registered)
        if agent.fell_with:
            raise AgentIsRevoked(agent_id)
        return agent

    async def _change(self, agent_id: str, command: Command, cause: Cause) -> int:
        """Decide and append; what fell out of use by it is taken away outside, too. Returns the sequence."""
        before = self._agents.current(cause.tenant, agent_id)
        # A repeated request id would be answered with a secret of which something else is kept.
        appended = await self._agents.handle(agent_id, command, replace(cause, request_id=self._new_id()))
        left = self._agents.current(cause.tenant, agent_id)
        if gone := set(before.secret_hashes) - set(left.secret_hashes):
            await self._identity.forget(cause.tenant, left, gone, ())
        return appended.sequence
