"""Revocations as REST shows them: the agent that was, and what was taken from it."""

from dataclasses import dataclass
from datetime import datetime

from services.gateway.domain.records import Agent


@dataclass(frozen=True, slots=True)
class PowerLost:
    """What one process lost, in its own words; `statement` are these, signed by it (a compact JWS)."""

    surface: str
    service: str
    replica: str
    powerless_ms: float
    ended: int
    statement: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """`silent` are those who should have spoken and did not, as `state/3f2a:locks`, or `state` if nobody knows more."""

    agent_id: str
    revocation_sequence: int
    revoke_time: datetime | None
    lost: tuple[PowerLost, ...]
    silent: tuple[str, ...]
    children: tuple[str, ...]
    waited_ms: float
    signature: str


@dataclass(frozen=True, slots=True)
class RevokedAgent(Agent):
    """Without a receipt, it follows: ask for it."""

    receipt: Receipt | None = None
