"""How an agent shows who it is: secrets, wrapped ones too, and the sessions they open.

What is kept of a secret is its salted hash; of one that Vault made, the accessor that Vault knows it by. Of a wrapped
one, until its token is shown, the hash of the token.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from services.policy.domain import secret
from services.policy.domain.faults import CredentialsRefused, TierMoved, WrappingTokenInvalid
from services.policy.domain.tier import Tier


@dataclass(frozen=True, slots=True)
class CreateSecret:
    agent_id: str
    secret_hash: str
    at: datetime


@dataclass(frozen=True, slots=True)
class WrapSecret:
    agent_id: str
    wrapping_id: str
    token_hash: str
    at: datetime
    expire_time: datetime


@dataclass(frozen=True, slots=True)
class UnwrapSecret:
    agent_id: str
    wrapping_id: str
    token: str = field(repr=False)
    secret_hash: str
    at: datetime


@dataclass(frozen=True, slots=True)
class CreateSession:
    """`kept` is what is kept of the secret that was shown, `accessor` names what Vault gave for it. `tier` is the one
    that the agent had when it was asked how long a session lasts."""

    role_id: str
    kept: str
    session_id: str
    tier: Tier
    ttl_seconds: int
    at: datetime
    accessor: str = ""


@dataclass(frozen=True, slots=True)
class AgentSecretCreated:
    agent_id: str
    secret_hash: str
    at: datetime


@dataclass(frozen=True, slots=True)
class SecretWrapped:
    agent_id: str
    wrapping_id: str
    token_hash: str
    at: datetime
    expire_time: datetime


@dataclass(frozen=True, slots=True)
class SecretUnwrapped:
    agent_id: str
    wrapping_id: str
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


def unwrapped(wrapped: tuple[SecretWrapped, ...], command: UnwrapSecret) -> SecretUnwrapped:
    """The one secret that a token stands for; the same refusal for every token that is no good.

    Raises:
        WrappingTokenInvalid
    """
    right = [secret.matches(command.token, each.token_hash) for each in wrapped]
    found = next((each for each, same in zip(wrapped, right, strict=True) if same), None)
    if found is None or found.wrapping_id != command.wrapping_id or command.at >= found.expire_time:
        raise WrappingTokenInvalid
    return SecretUnwrapped(command.agent_id, command.wrapping_id, command.secret_hash, command.at)


def require_known(role_id: str, secret_hashes: tuple[str, ...], command: CreateSession) -> None:
    """Raises CredentialsRefused: the secret is not one of those that are good, or the role is another."""
    if command.kept not in secret_hashes or role_id != command.role_id:
        raise CredentialsRefused


def opened(agent_id: str, tier: Tier, command: CreateSession) -> SessionCreated:
    """Raises TierMoved: it would last as long as a session of another tier."""
    if command.tier is not tier:
        raise TierMoved(agent_id)
    expire_time = command.at + timedelta(seconds=command.ttl_seconds)
    return SessionCreated(agent_id, command.session_id, tier, command.at, expire_time, command.accessor)
