"""An agent: registered at a tier, given secrets and sessions, and revoked for good."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from kernel.decider import Decider
from services.policy.domain import secret
from services.policy.domain.faults import (
    AgentAlreadyRegistered,
    AgentAlreadyRevoked,
    AgentIsRevoked,
    AgentUnknown,
    CredentialsRefused,
)
from services.policy.domain.tier import Tier

VALID_SECRETS = 2
REMEMBERED_SESSIONS = 16


@dataclass(frozen=True, slots=True)
class RegisterAgent:
    agent_id: str
    tier: Tier
    agent_version: str
    role_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class CreateSecret:
    agent_id: str
    secret_hash: str
    at: datetime


@dataclass(frozen=True, slots=True)
class CreateSession:
    role_id: str
    secret_id: str = field(repr=False)
    session_id: str
    ttl_seconds: int
    at: datetime


@dataclass(frozen=True, slots=True)
class RevokeAgent:
    agent_id: str
    kind: str
    details: str
    by: str
    at: datetime


Command = RegisterAgent | CreateSecret | CreateSession | RevokeAgent


@dataclass(frozen=True, slots=True)
class AgentRegistered:
    agent_id: str
    tier: Tier
    agent_version: str
    role_id: str
    at: datetime
    parent_agent_id: str = ""
    registered_by: str = ""


@dataclass(frozen=True, slots=True)
class AgentSecretCreated:
    agent_id: str
    secret_hash: str
    at: datetime


@dataclass(frozen=True, slots=True)
class SessionCreated:
    agent_id: str
    session_id: str
    tier: Tier
    at: datetime
    expire_time: datetime
    accessor: str = ""


@dataclass(frozen=True, slots=True)
class AgentRevoked:
    agent_id: str
    kind: str
    details: str
    by: str
    at: datetime


Event = AgentRegistered | AgentSecretCreated | SessionCreated | AgentRevoked


class AgentState(StrEnum):
    ACTIVE = "ACTIVE"
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

    @property
    def state(self) -> AgentState:
        return AgentState.ACTIVE if self.revoked is None else AgentState.REVOKED

    def session(self, session_id: str) -> SessionCreated | None:
        """One of its last sessions."""
        return next((each for each in self.sessions if each.session_id == session_id), None)


def decide(agent: Agent, command: Command) -> Event | None:
    """What `command` changes.

    Raises:
        AgentUnknown, AgentAlreadyRegistered, AgentIsRevoked, AgentAlreadyRevoked, CredentialsRefused
    """
    match command:
        case RegisterAgent(agent_id, tier, agent_version, role_id, at):
            if agent.registered is None:
                return AgentRegistered(agent_id, tier, agent_version, role_id, at)
            if agent.tier is not tier:
                raise AgentAlreadyRegistered(agent_id, agent.tier)
            return None
        case CreateSession():
            return _session(agent, command)
        case CreateSecret(agent_id) | RevokeAgent(agent_id) if agent.registered is None:
            raise AgentUnknown(agent_id)
        case CreateSecret(agent_id, secret_hash, at):
            if agent.revoked is not None:
                raise AgentIsRevoked(agent_id)
            return AgentSecretCreated(agent_id, secret_hash, at)
        case RevokeAgent(agent_id, kind, details, by, at):
            if agent.revoked is not None:
                raise AgentAlreadyRevoked(agent_id)
            return AgentRevoked(agent_id, kind, details, by, at)


def _session(agent: Agent, command: CreateSession) -> SessionCreated | None:
    # Every kept hash is compared, whatever came out before: the time taken tells nothing.
    right = [secret.matches(command.secret_id, kept) for kept in agent.secret_hashes]
    if not any(right) or agent.role_id != command.role_id:
        raise CredentialsRefused
    if agent.revoked is not None:
        raise AgentIsRevoked(agent.agent_id)
    if agent.session(command.session_id) is not None:
        return None
    expire_time = command.at + timedelta(seconds=command.ttl_seconds)
    return SessionCreated(agent.agent_id, command.session_id, agent.tier, command.at, expire_time)


def evolve(agent: Agent, event: Event) -> Agent:
    match event:
        case AgentRegistered(agent_id, tier, agent_version, role_id):
            return Agent(agent_id, tier, agent_version, role_id, registered=event)
        case AgentSecretCreated():
            kept = (*agent.secret_hashes, event.secret_hash)[-VALID_SECRETS:]
            return replace(agent, secret_hashes=kept)
        case SessionCreated():
            return replace(agent, sessions=(*agent.sessions, event)[-REMEMBERED_SESSIONS:])
        case AgentRevoked():
            return replace(agent, revoked=event)


AGENT: Decider[Command, Agent, Event] = Decider("policy", "agent", Agent(), decide, evolve)
