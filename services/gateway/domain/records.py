"""Agents, approvals and the ledger's rows as REST shows them, page by page."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list is asked for; size 0 leaves it to the service."""

    size: int = 0
    token: str = ""


@dataclass(frozen=True, slots=True)
class Listing(Generic[Item]):
    """`next_page_token` is empty at the end."""

    items: tuple[Item, ...]
    next_page_token: str


@dataclass(frozen=True, slots=True)
class TrackRecord:
    """What an agent's runs came to; only verified outcomes count. `compliant_in_row`: since it got its tier."""

    verified_runs: int
    compliant_in_row: int
    violations: int
    violations_at_tier: int
    tier_since_time: datetime | None


@dataclass(frozen=True, slots=True)
class Agent:
    agent_id: str
    tier: str
    state: str
    agent_version: str
    revoke_reason: str
    revoked_by: str
    revoke_time: datetime | None
    register_time: datetime | None
    parent_agent_id: str = ""
    registered_by: str = ""
    suspend_reason: str = ""
    record: TrackRecord | None = None


class ApprovalState(StrEnum):
    PENDING = "PENDING"
    APPROVED = "APPROVED"
    REJECTED = "REJECTED"
    USED = "USED"
    EXPIRED = "EXPIRED"
    CHANGES_REQUESTED = "CHANGES_REQUESTED"


class Vote(StrEnum):
    """What a person may say to a request for approval."""

    APPROVE = "approve"
    REJECT = "reject"
    REQUEST_CHANGES = "request_changes"


@dataclass(frozen=True, slots=True)
class GivenVote:
    """What somebody has said: APPROVE, REJECT or REQUEST_CHANGES."""

    by: str
    vote: str
    comment: str
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Approval:
    approval_id: str
    state: str
    action: str
    target: str
    environment: str
    parameters: Mapping[str, str]
    action_digest: str
    run_id: str
    agent_id: str
    requested_by: str
    why: str
    answered_by: str
    comment: str
    request_time: datetime | None
    expire_time: datetime | None
    answer_time: datetime | None
    rule: str = ""
    needed: int = 1
    approvers: tuple[str, ...] = ()
    votes: tuple[GivenVote, ...] = ()
    task_id: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a person says to a request for approval."""

    request_id: str
    approval_id: str
    vote: Vote
    comment: str


@dataclass(frozen=True, slots=True)
class Revocation:
    """`wait_ms` is how long to wait for everyone's word; 0 leaves it to policy."""

    request_id: str
    agent_id: str
    kind: str
    details: str
    wait_ms: int = 0


@dataclass(frozen=True, slots=True)
class EventFilter:
    from_time: datetime | None = None
    to_time: datetime | None = None
    context: str = ""
    aggregate: str = ""
    aggregate_id: str = ""
    event_type: str = ""
    correlation_id: str = ""
    actor: str = ""
    agent_id: str = ""
    run_id: str = ""
    task_id: str = ""
    action: str = ""
    decision: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """`payload` is the event as JSON, None when it cannot be read."""

    sequence: int
    leaf_index: int
    event_id: str
    subject: str
    event_type: str
    actor: str
    correlation_id: str
    causation_id: str
    at: datetime | None
    payload: Mapping[str, Any] | None
    leaf_hash: str


@dataclass(frozen=True, slots=True)
class ActionFilter:
    from_time: datetime | None = None
    to_time: datetime | None = None
    agent_id: str = ""
    task_id: str = ""
    run_id: str = ""
    action: str = ""
    decision: str = ""
    correlation_id: str = ""


@dataclass(frozen=True, slots=True)
class AgentAction:
    """`success` is not there until the outcome is known, or when nothing was done."""

    sequence: int
    timestamp: datetime | None
    agent_id: str
    agent_version: str
    tier: str
    action: str
    target: str
    decision: str
    confidence: float
    success: bool | None
    error_type: str
    error_message: str
    run_id: str
    task_id: str
    decision_id: str
    rule: str
    reason: str
    policy_version: str


@dataclass(frozen=True, slots=True)
class AgentMetrics:
    agent_id: str
    current_tier: str
    total_runs: int
    compliant_runs: int
    consecutive_compliant: int
    last_active_at: datetime | None
    revoked: bool


@dataclass(frozen=True, slots=True)
class TreeHead:
    """`checkpoint` is the C2SP signed note."""

    origin: str
    tree_size: int
    root_hash: str
    checkpoint: str
    verifier_key: str
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Erasure:
    """`subject_id` is a pseudonym; `key_id` is empty when nothing had been sealed for the subject."""

    sequence: int
    subject_id: str
    key_id: str
    reason: str
    by: str
    at: datetime | None


@dataclass(frozen=True, slots=True)
class LedgerCheck:
    name: str
    ok: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Verification:
    """`first_bad_sequence` is 0 when everything holds."""

    ok: bool
    checks: tuple[LedgerCheck, ...]
    tree_size: int
    root_hash: str
    first_bad_sequence: int


@dataclass(frozen=True, slots=True)
class Component:
    """`lag_events` is how many events it is behind, -1 when that is not known."""

    name: str
    healthy: bool
    lag_events: int
    detail: str


@dataclass(frozen=True, slots=True)
class Status:
    components: tuple[Component, ...]
    version: str

    @property
    def healthy(self) -> bool:
        return all(component.healthy for component in self.components)
