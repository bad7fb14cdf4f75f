"""A revocation, and the receipt for it: everything that held some of the agent's power has said that it is gone."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class RevokeAgent:
    agent_id: str
    kind: str
    details: str
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class ConfirmRevocation:
    agent_id: str
    receipt: "Receipt"
    at: datetime


@dataclass(frozen=True, slots=True)
class PowerLost:
    """What one process lost of an agent's power, in its own signed words (`statement`, a compact JWS)."""

    surface: str
    service: str
    replica: str
    powerless_ms: float
    ended: int
    statement: str


@dataclass(frozen=True, slots=True)
class Receipt:
    agent_id: str
    revocation_sequence: int
    revoke_time: datetime | None
    lost: tuple[PowerLost, ...]
    silent: tuple[str, ...]
    children: tuple[str, ...]
    waited_ms: float
    signature: str


@dataclass(frozen=True, slots=True)
class AgentRevoked:
    agent_id: str
    kind: str
    details: str
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class RevocationConfirmed:
    receipt: Receipt
    at: datetime
