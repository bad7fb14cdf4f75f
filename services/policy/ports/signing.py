"""What policy signs, and whoever signs it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

from services.policy.domain.revocation import Receipt
from services.policy.domain.tier import Tier


@dataclass(frozen=True, slots=True)
class Session:
    """What a session token says: this agent of this tenant, until then."""

    session_id: str
    tenant: str
    agent_id: str
    tier: Tier
    issue_time: datetime
    expire_time: datetime


class Bearer(NamedTuple):
    """Who shows a session token."""

    tenant: str
    agent_id: str


@dataclass(slots=True)  # not frozen: see `domain.question`
class Permit:
    """What an actuator needs to know before it acts."""

    decision_id: str
    action_digest: str
    tenant: str
    run_id: str
    task_id: str
    agent_id: str
    fencing_token: int
    issue_time: datetime
    expire_time: datetime


class Signer(Protocol):
    """Signs for policy. What it signs is verified elsewhere by public key alone."""

    def sign_session(self, session: Session) -> str: ...

    async def sign_permits(self, permits: Sequence[Permit]) -> Sequence[str]:
        """One for each, in order. Those that are asked for at the same moment may share one signature."""
        ...

    def sign_receipt(self, tenant: str, receipt: Receipt, at: datetime) -> str:
        """A compact JWS over the digest of everything in `receipt` but its signature."""
        ...

    def bearer_of(self, token: str, at: datetime) -> Bearer:
        """Whose session token of ours this is.

        Raises:
            Unauthenticated: `TOKEN_INVALID` or `TOKEN_EXPIRED`.
        """
        ...

    def public_keys(self) -> Sequence[tuple[str, bytes]]:
        """Key id and 32 bytes of Ed25519 public key, newest first."""
        ...
