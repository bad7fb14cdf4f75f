"""How an agent shows who it is: secrets, wrapped ones too, and the sessions they open.

A secret is kept as a salted hash alone. A wrapped one does not exist before its token is shown: what is kept until then
is the hash of the token.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from services.policy.domain import secret
from services.policy.domain.faults import CredentialsRefused, WrappingTokenInvalid
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
    """`accessor` is set when somebody else has compared the secret (Vault); then `secret_id` is not looked at."""

    role_id: str
    secret_id: str = field(repr=False)
    session_id: str
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
    """Raises CredentialsRefused, in the same time whichever part is wrong."""
    # Every kept hash is compared, whatever came out before: the time taken tells nothing.
    right = [secret.matches(command.secret_id, kept) for kept in secret_hashes]
    if not (any(right) or command.accessor) or role_id != command.role_id:
        raise CredentialsRefused


def opened(agent_id: str, tier: Tier, command: CreateSession) -> SessionCreated:
    expire_time = command.at + timedelta(seconds=command.ttl_seconds)
    return SessionCreated(agent_id, command.session_id, tier, command.at, expire_time, command.accessor)
