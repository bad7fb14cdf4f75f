"""An agent: registered at a tier, given secrets and sessions, moved, suspended, and revoked for good.

Credentials, standing and revocation each have a file of their own, which says what it decides; here they are one
aggregate.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import assert_never

from kernel.decider import Decider
from services.policy.domain.credentials import (
    AgentSecretCreated,
    CreateSecret,
    CreateSession,
    SecretUnwrapped,
    SecretWrapped,
    SessionCreated,
    UnwrapSecret,
    WrapSecret,
    opened,
    require_known,
    unwrapped,
)
from services.policy.domain.crew import require_modest
from services.policy.domain.faults import (
    AgentAlreadyRegistered,
    AgentAlreadyRevoked,
    AgentIsRevoked,
    AgentIsSuspended,
    AgentUnknown,
    TierNotAtOnce,
)
from services.policy.domain.revocation import (
    AgentRevoked,
    ConfirmRevocation,
    Receipt,
    RevocationConfirmed,
    RevokeAgent,
)
from services.policy.domain.standing import (
    AgentDemoted,
    AgentPromoted,
    AgentResumed,
    AgentSuspended,
    DemoteAgent,
    PromoteAgent,
    ResumeAgent,
    SuspendAgent,
    demoted,
    promoted,
    require_parent,
)
from services.policy.domain.tier import Tier

VALID_SECRETS = 2
REMEMBERED_SESSIONS = 16
REMEMBERED_WRAPPINGS = 16


@dataclass(frozen=True, slots=True)
class RegisterAgent:
    agent_id: str
    tier: Tier
    agent_version: str
    role_id: str
    at: datetime
    parent_agent_id: str = ""
    by: str = ""
    parent: "Agent | None" = None


Command = (
    RegisterAgent
    | CreateSecret
    | WrapSecret
    | UnwrapSecret
    | CreateSession
    | PromoteAgent
    | DemoteAgent
    | SuspendAgent
    | ResumeAgent
    | RevokeAgent
    | ConfirmRevocation
)


@dataclass(frozen=True, slots=True)
class AgentRegistered:
    agent_id: str
    tier: Tier
    agent_version: str
    role_id: str
    at: datetime
    parent_agent_id: str = ""
    registered_by: str = ""


Event = (
    AgentRegistered
    | AgentSecretCreated
    | SecretWrapped
    | SecretUnwrapped
    | SessionCreated
    | AgentPromoted
    | AgentDemoted
    | AgentSuspended
    | AgentResumed
    | AgentRevoked
    | RevocationConfirmed
)


class AgentState(StrEnum):
    ACTIVE = "ACTIVE"
    SUSPENDED = "SUSPENDED"
    REVOKED = "REVOKED"


@dataclass(frozen=True, slots=True)
class Agent:
    """What is known of an agent. Nothing was registered as long as `registered` is None."""

    agent_id: str = ""
    tier: Tier = Tier.T0_OBSERVER
    agent_version: str = ""
    role_id: str = ""
    secret_hashes: tuple[str, ...] = ()
    sessions: tuple[SessionCreated, ...] = ()
    registered: AgentRegistered | None = None
    revoked: AgentRevoked | None = None
    wrapped: tuple[SecretWrapped, ...] = ()
    suspended: AgentSuspended | None = None
    moved: AgentPromoted | AgentDemoted | None = None
    receipt: Receipt | None = None
    fell_with: str = ""
    """Whose revocation took its power, for good: its own id, or that of an agent above it. The latter is told by
    whoever holds the agents, from that one's event on: its own `revoked` follows."""

    @property
    def state(self) -> AgentState:
        if self.fell_with:
            return AgentState.REVOKED
        return AgentState.ACTIVE if self.suspended is None else AgentState.SUSPENDED

    @property
    def tier_since(self) -> datetime | None:
        """Since when it has its tier."""
        since = self.moved or self.registered
        return since.at if since is not None else None

    def session(self, session_id: str) -> SessionCreated | None:
        """One of its last sessions."""
        return next((each for each in self.sessions if each.session_id == session_id), None)


def decide(agent: Agent, command: Command) -> Event | None:
    """What `command` changes.

    Raises:
        AgentUnknown, AgentAlreadyRegistered, AgentIsRevoked, AgentIsSuspended, AgentAlreadyRevoked,
        CredentialsRefused, WrappingTokenInvalid, TierMoved, TierStepTooLarge, TierNotAtOnce, ParentInvalid,
        ApproverNotAPerson, CrewsAgentTooMuch
    """
    match command:
        case RegisterAgent():
            return _register(agent, command)
        case CreateSession():
            require_known(agent.role_id, agent.secret_hashes, command)
            _require_unrevoked(agent)
            known = agent.session(command.session_id)
            if known is None and agent.suspended is not None:
                raise AgentIsSuspended(agent.agent_id)
            return None if known is not None else opened(agent.agent_id, agent.tier, command)
        case UnwrapSecret():
            event = unwrapped(agent.wrapped, command)
            _require_unrevoked(agent)
            return event
        case ConfirmRevocation(receipt=receipt, at=at):
            return RevocationConfirmed(receipt, at) if agent.revoked and agent.receipt is None else None
        case _ if agent.registered is None:
            raise AgentUnknown(command.agent_id)
        case RevokeAgent(agent_id, kind, details, by, at):
            if agent.revoked is not None:
                raise AgentAlreadyRevoked(agent_id)
            return AgentRevoked(agent_id, kind, details, by, at)
        case _:
            _require_unrevoked(agent)
            return _of_the_unrevoked(agent, command)


def _of_the_unrevoked(
    agent: Agent,
    command: CreateSecret | WrapSecret | PromoteAgent | DemoteAgent | SuspendAgent | ResumeAgent,
) -> Event | None:
    match command:
        case CreateSecret(agent_id, secret_hash, at):
            return AgentSecretCreated(agent_id, secret_hash, at)
        case WrapSecret(agent_id, wrapping_id, token_hash, at, expire_time):
            return SecretWrapped(agent_id, wrapping_id, token_hash, at, expire_time)
        case PromoteAgent():
            return promoted(agent.tier, agent.tier_since, command)
        case DemoteAgent():
            return demoted(agent.tier, agent.tier_since, command)
        case SuspendAgent(agent_id, why, by, at):
            return AgentSuspended(agent_id, why, by, at) if agent.suspended is None else None
        case ResumeAgent(agent_id, why, by, at):
            return AgentResumed(agent_id, why, by, at) if agent.suspended is not None else None
        case _:
            assert_never(command)


def _register(agent: Agent, command: RegisterAgent) -> AgentRegistered | None:
    require_modest(command.by, command.agent_id, command.tier, command.parent_agent_id)
    if agent.registered is None:
        if command.tier is Tier.T4_ARCHITECT:
            raise TierNotAtOnce(command.agent_id, command.tier, Tier.T3_EXECUTOR)
        if command.parent_agent_id:
            parent = command.parent or Agent()
            require_parent(
                command.agent_id,
                command.parent_agent_id,
                command.tier,
                parent.tier if parent.registered is not None else None,
                revoked=bool(parent.fell_with),
            )
        return AgentRegistered(
            command.agent_id,
            command.tier,
            command.agent_version,
            command.role_id,
            command.at,
            command.parent_agent_id,
            command.by,
        )
    registered = agent.registered
    if (registered.tier, registered.parent_agent_id) != (command.tier, command.parent_agent_id):
        raise AgentAlreadyRegistered(command.agent_id, registered.tier)
    return None


def _require_unrevoked(agent: Agent) -> None:
    if agent.fell_with:
        raise AgentIsRevoked(agent.agent_id)


def evolve(agent: Agent, event: Event) -> Agent:
    match event:
        case AgentRegistered(agent_id, tier, agent_version, role_id):
            return Agent(agent_id, tier, agent_version, role_id, registered=event)
        case AgentSecretCreated():
            return replace(agent, secret_hashes=_newest(agent.secret_hashes, event.secret_hash))
        case SecretWrapped():
            return replace(agent, wrapped=(*agent.wrapped, event)[-REMEMBERED_WRAPPINGS:])
        case SecretUnwrapped(wrapping_id=wrapping_id, secret_hash=secret_hash):
            left = tuple(each for each in agent.wrapped if each.wrapping_id != wrapping_id)
            return replace(agent, wrapped=left, secret_hashes=_newest(agent.secret_hashes, secret_hash))
        case SessionCreated():
            return replace(agent, sessions=(*agent.sessions, event)[-REMEMBERED_SESSIONS:])
        case AgentPromoted(to_tier=to_tier) | AgentDemoted(to_tier=to_tier):
            return replace(agent, tier=to_tier, moved=event)
        case AgentSuspended():
            return replace(agent, suspended=event)
        case AgentResumed():
            return replace(agent, suspended=None)
        case AgentRevoked():
            return replace(agent, revoked=event, fell_with=agent.fell_with or agent.agent_id or "itself")
        case RevocationConfirmed(receipt):
            return replace(agent, receipt=receipt)
        case _:
            assert_never(event)


def _newest(secret_hashes: tuple[str, ...], another: str) -> tuple[str, ...]:
    return (*secret_hashes, another)[-VALID_SECRETS:]


AGENT: Decider[Command, Agent, Event] = Decider("policy", "agent", Agent(), decide, evolve)
