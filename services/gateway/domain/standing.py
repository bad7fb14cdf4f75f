"""What agents may spend and where they stand, as REST shows it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from services.gateway.domain.records import Agent, Approval


@dataclass(frozen=True, slots=True)
class BudgetLine:
    unit: str
    most: int
    spent: int
    reserved: int


@dataclass(frozen=True, slots=True)
class Budget:
    """`window_seconds` 0: it never begins anew."""

    budget_id: str
    scope: str
    scope_id: str
    lines: tuple[BudgetLine, ...]
    window_seconds: int
    window_start_time: datetime | None


@dataclass(frozen=True, slots=True)
class SetBudget:
    """Without limits, what was set by hand is taken back."""

    request_id: str
    scope: str
    scope_id: str
    limits: Mapping[str, int]
    window_seconds: int
    why: str


@dataclass(frozen=True, slots=True)
class Register:
    request_id: str
    agent_id: str
    tier: str
    agent_version: str
    parent_agent_id: str


@dataclass(frozen=True, slots=True)
class Move:
    """Of an agent's standing; `to_tier` for promotions and demotions alone."""

    request_id: str
    agent_id: str
    why: str
    to_tier: str = ""


@dataclass(frozen=True, slots=True)
class Promoted:
    """`approval` is set when the promotion waits for it."""

    agent: Agent
    approval: Approval | None
