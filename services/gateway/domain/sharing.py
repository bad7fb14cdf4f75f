"""Agents, tasks and what is shared in them, as state has them now and as REST shows them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic

from services.gateway.domain.records import Item, Listing


@dataclass(frozen=True, slots=True)
class StateListing(Listing[Item], Generic[Item]):
    """`stale_seconds` is there when state cannot reach the event log: what happened in so long is not in the list."""

    stale_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """`fencing_token`: whoever writes with another one is refused."""

    holder: str
    fencing_token: int
    expire_time: datetime | None


@dataclass(frozen=True, slots=True)
class HeldLock:
    """A lock that is held, and who waits for it, first in turn first."""

    agent_id: str
    task_id: str
    holder: str
    fencing_token: int
    expire_time: datetime | None
    waiting: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Waits:
    """For what: APPROVAL, GATE, POLL, LOCK or MESSAGE."""

    kind: str
    what: str
    since: datetime | None
    until: datetime | None


@dataclass(frozen=True, slots=True)
class WaitingRun:
    """A run that waits; whether it has its agent still, or has given it back to others."""

    run_id: str
    task_id: str
    waiting: Waits


@dataclass(frozen=True, slots=True)
class IsStuck:
    """How it shows: NO_HEARTBEAT, NO_PROGRESS, REPETITION or CIRCLE."""

    kind: str
    evidence: str
    since: datetime | None
    with_agent_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Spent:
    """What an error counts, and how many there may be; 0: no limit is set."""

    total: int
    max_total: int
    same_error_repeats: int
    max_same_error_repeats: int
    procedure_violations: int
    max_procedure_violations: int


@dataclass(frozen=True, slots=True)
class AgentNow:
    """An agent at its task; `waiting` and `stuck` only when it is, `waiting_runs` are all of its runs that wait."""

    agent_id: str
    task_id: str
    objective: str
    run_id: str
    phase: str
    step: str
    errors: Spent
    lock: Held | None
    heartbeat_time: datetime | None
    waiting: Waits | None
    stuck: IsStuck | None
    labels: tuple[str, ...]
    sequence: int
    waiting_runs: tuple[WaitingRun, ...] = ()


@dataclass(frozen=True, slots=True)
class BoardEntry:
    section: str
    key: str
    value: Any
    author: str
    version: int
    put_time: datetime | None
    labels: tuple[str, ...]
    sequence: int


@dataclass(frozen=True, slots=True)
class Message:
    """`to_agent_id` is empty for one to all; `recipients` are those it went to."""

    message_id: str
    type: str
    from_agent_id: str
    to_agent_id: str
    recipients: tuple[str, ...]
    body: Any
    in_reply_to: str
    send_time: datetime | None
    labels: tuple[str, ...]
    sequence: int


@dataclass(frozen=True, slots=True)
class ArtifactKept:
    sha256: str
    name: str
    media_type: str
    size_bytes: int
    run_id: str
    store_time: datetime | None
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Handoff:
    """What a revoked agent leaves to the next."""

    previous_agent_id: str
    revoked: bool
    reason: str
    details: str
    phase: str
    step: str
    what_was_tried: tuple[str, ...]
    blocking_issue: str
    required_next_actions: tuple[str, ...]
    constraints_reminder: tuple[str, ...]
    artifacts: tuple[str, ...]
    """The SHA-256 of each."""
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Task:
    task_id: str
    agent_ids: tuple[str, ...]
    active_agent_id: str
    entries: int
    unread_messages: int
    artifacts: int
    change_time: datetime | None
    sequence: int


@dataclass(frozen=True, slots=True)
class TaskNow:
    """A task as it is; `incomplete` when there is more, or something cannot be read: ask for it by itself.

    `stale_seconds` as for lists.
    """

    task: Task
    agents: tuple[AgentNow, ...]
    locks: tuple[HeldLock, ...]
    board: tuple[BoardEntry, ...]
    unread_messages: tuple[Message, ...]
    artifacts: tuple[ArtifactKept, ...]
    handoff: Handoff | None
    incomplete: bool
    stale_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Released:
    """A lock was taken away: from this sequence on its token is stale."""

    agent_id: str
    sequence: int


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """Take for read what was sent to an agent of a task: everything up to a sequence, and these."""

    task_id: str
    agent_id: str
    up_to_sequence: int
    message_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Read:
    """Messages to an agent were acknowledged in its name; by the sequence the log has that."""

    task_id: str
    agent_id: str
    sequence: int


@dataclass(frozen=True, slots=True)
class MessageFilter:
    task_id: str
    agent_id: str = ""
    acknowledged_too: bool = False
