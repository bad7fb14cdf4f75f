"""Facts: what the ledger understands of other services' events, in its own words. Times are microseconds since 1970."""

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Decision:
    decision_id: str
    agent_id: str
    agent_version: str
    tier: str
    action: str
    target: str
    verdict: str
    run_id: str
    task_id: str
    rule: str
    reason: str
    policy_version: str
    at_us: int


@dataclass(frozen=True, slots=True)
class Decided:
    decisions: tuple[Decision, ...]


@dataclass(frozen=True, slots=True)
class Planned:
    run_id: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Intended:
    effect_id: str
    decision_id: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """`success` is None when nobody knows, or nothing was done."""

    effect_id: str
    success: bool | None
    error_type: str
    error_message: str


@dataclass(frozen=True, slots=True)
class Observed:
    outcomes: tuple[Outcome, ...]


@dataclass(frozen=True, slots=True)
class TierGiven:
    """An agent has a tier; the first time, because it was registered. `by` is empty where the event does not say it."""

    agent_id: str
    tier: str
    reason: str
    by: str
    at_us: int


@dataclass(frozen=True, slots=True)
class Revoked:
    agent_id: str
    at_us: int


@dataclass(frozen=True, slots=True)
class Ended:
    """`counted` is false for a run that was refused before it did anything."""

    run_id: str
    agent_id: str
    counted: bool
    compliant: bool
    at_us: int


@dataclass(frozen=True, slots=True)
class Violated:
    agent_id: str
    run_id: str
    task_id: str
    error_type: str
    message: str
    at_us: int


@dataclass(frozen=True, slots=True)
class Requested:
    """People are asked about one exact action."""

    approval_id: str
    agent_id: str
    run_id: str
    task_id: str
    action: str
    target: str
    action_digest: str
    requested_by: str
    why: str
    at_us: int
    expire_us: int


@dataclass(frozen=True, slots=True)
class Answered:
    approval_id: str
    approved: bool
    by: str
    comment: str
    at_us: int
    changes_requested: bool = False


@dataclass(frozen=True, slots=True)
class Used:
    approval_id: str
    decision_id: str
    at_us: int


Fact = (
    Decided
    | Planned
    | Intended
    | Observed
    | TierGiven
    | Revoked
    | Ended
    | Violated
    | Requested
    | Answered
    | Used
)


class Told(NamedTuple):
    """A fact, and the event that told it."""

    tenant: str
    sequence: int
    event_id: str
    fact: Fact
    actor: str = ""
