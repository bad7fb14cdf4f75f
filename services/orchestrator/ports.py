"""What the orchestrator needs of others. Doors lead to peers; each call is safe to repeat with the same cause.

A door raises the peer's own faults, and `Unavailable` when the peer cannot be reached: the step is then tried again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar

from kernel.events import Cause
from kernel.ports import Aggregates
from services.orchestrator.domain.records import (
    Action,
    Decision,
    Effect,
    ErrorCounts,
    Handoff,
    Incident,
    Mode,
    Packet,
    PastIncident,
    Proposal,
    Strategy,
)
from services.orchestrator.domain.run import Run
from services.orchestrator.domain.wants import Command

Runs = Aggregates[Run, Command]
T = TypeVar("T")


class Clock(Protocol):
    """Now, UTC and aware."""

    def __call__(self) -> datetime: ...


@dataclass(frozen=True, slots=True)
class Standing:
    """What policy says an agent is; `why` it is revoked, or suspended."""

    agent_id: str
    revoked: bool
    why: str
    suspended: bool = False


@dataclass(frozen=True, slots=True)
class RunContext:
    """In whose name and under what limits an action is asked for."""

    run_id: str
    task_id: str
    agent_id: str
    mode: Mode
    fencing_token: int
    at_least_sequence: int
    subject_key: str = ""
    steps_done: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """How an approval stands: `PENDING`, `APPROVED`, `REJECTED`, `CHANGES_REQUESTED`, `USED` or `EXPIRED`."""

    approval_id: str
    state: str
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Task:
    """What an agent is to think about; `log` is empty when the run has none."""

    run_id: str
    packet: Packet | None
    log: bytes
    strategy: Strategy
    max_reasoning_cycles: int
    target_reasoning_score: float
    mode: Mode


class PolicyDoor(Protocol):
    async def standing(self, agent_id: str, cause: Cause) -> Standing:
        """Raises AGENT_UNKNOWN (NotFound)."""
        ...

    async def authorize(
        self,
        token: str,
        context: RunContext,
        actions: Sequence[Action],
        approval_ids: Mapping[str, str],
        cause: Cause,
    ) -> tuple[Decision, ...]:
        """One decision for each action, in their order, durable before they are answered."""
        ...

    async def request_approval(
        self, context: RunContext, action: Action, digest: str, why: str, requested_by: str, cause: Cause
    ) -> str:
        """The approval's id."""
        ...

    async def approval(self, approval_id: str, cause: Cause) -> Answer: ...

    async def settle(self, reservation_id: str, spent: bool, cause: Cause) -> None:
        """All that was set aside was spent, or nothing. Raises RESERVATION_CLOSED, RESERVATION_UNKNOWN."""
        ...

    async def revoke(self, agent_id: str, kind: str, details: str, cause: Cause) -> None:
        """Done also when the agent was revoked before."""
        ...


class StateDoor(Protocol):
    async def issue_packet(self, packet: Packet, cause: Cause) -> int:
        """The sequence of its event."""
        ...

    async def packet_of(self, agent_id: str, cause: Cause) -> Packet | None:
        """The packet the agent holds now, None if there is none."""
        ...

    async def acquire_lock(
        self, agent_id: str, task_id: str, holder: str, lease_seconds: int, cause: Cause
    ) -> int:
        """The fencing token. Raises CANNOT_ACQUIRE_LOCK (Refused or Conflict)."""
        ...

    async def advance(
        self,
        agent_id: str,
        task_id: str,
        run_id: str,
        phase: str,
        fencing_token: int,
        lease_seconds: int,
        cause: Cause,
    ) -> ErrorCounts:
        """Heartbeat, lock renewal and position in one. Raises FENCING_TOKEN_STALE."""
        ...

    async def release_lock(
        self, agent_id: str, task_id: str, holder: str, fencing_token: int, cause: Cause
    ) -> None:
        """Done also when the lock is no longer held."""
        ...

    async def record_error(
        self,
        agent_id: str,
        task_id: str,
        run_id: str,
        error_type: str,
        message: str,
        violation: bool,
        cause: Cause,
    ) -> tuple[ErrorCounts, int]: ...

    async def heartbeat(self, agent_id: str, cause: Cause) -> None: ...

    async def waits(
        self,
        agent_id: str,
        task_id: str,
        run_id: str,
        what: str,
        cause: Cause,
        until: datetime | None = None,
    ) -> None:
        """The agent's run waits for an approval, so that nobody takes it for stuck; for nothing when `what` is empty.

        With `until` it is something that is done by then. A lock that is taken says as well that it works again.
        """
        ...

    async def put_artifact(
        self, content: bytes, name: str, media_type: str, task_id: str, run_id: str, cause: Cause
    ) -> str:
        """Its hex SHA-256."""
        ...

    async def get_artifact(self, sha256: str, cause: Cause) -> bytes: ...

    async def artifact_names(self, task_id: str, cause: Cause) -> frozenset[str]: ...

    async def write_handoff(self, handoff: Handoff, cause: Cause) -> None: ...


@dataclass(frozen=True, slots=True)
class Session:
    """Who a session token speaks for."""

    tenant: str
    agent_id: str


class Sessions(Protocol):
    async def session_of(self, token: str, cause: Cause) -> Session:
        """Raises Unauthenticated: TOKEN_INVALID, TOKEN_EXPIRED or TOKEN_MISSING."""
        ...


class ActuatorDoor(Protocol):
    async def preview(self, actions: Sequence[Action], cause: Cause) -> tuple[Effect, ...]:
        """Says of each action, in their order, what it would do or why it would be refused; touches nothing."""
        ...

    async def perform(
        self, effect_id: str, action: Action, permit: str, journal_key: bytes, cause: Cause
    ) -> Effect:
        """Does it once per effect id."""
        ...

    async def reachable(self) -> bool: ...


class Knowledge(Protocol):
    """What is remembered of runs that are over, each tenant's for itself. May be some events behind the log."""

    async def similar(self, tenant: str, incident: Incident) -> tuple[PastIncident, ...]:
        """What is known of the same cause, the most similar first; nothing when it cannot be read. Quick."""
        ...


class Privacy(Protocol):
    """Seals what is personal before anybody else sees it, and opens it for whoever works with it.

    A `key_id` is that of a run's subject; with an empty one everything stays as it is. Each method that takes one
    raises SUBJECT_ERASED (Refused) when the key is gone, and `Unavailable` when the keys cannot be reached.
    """

    async def key_of(self, tenant: str, subject: str) -> str:
        """The id of a subject's key, which is made if there is none."""
        ...

    async def sealed(self, tenant: str, key_id: str, record: T) -> T:
        """A command or a record with everything personal in it sealed, as the contract says what is personal."""
        ...

    async def opened(self, tenant: str, key_id: str, run: Run) -> Run:
        """A run with everything in it that was sealed under its key in the clear: to be worked with, never kept."""
        ...

    async def seal_text(self, tenant: str, key_id: str, text: str) -> str: ...

    async def seal_bytes(self, tenant: str, key_id: str, content: bytes) -> bytes: ...

    async def open_bytes(self, tenant: str, key_id: str, content: bytes) -> bytes: ...

    async def journal_key(self, tenant: str, key_id: str, effect_id: str) -> bytes:
        """What the actuators seal one effect's outcome under in their journal; empty without a key."""
        ...

    def forget(self, tenant: str, key_id: str) -> None:
        """Hold nothing in the clear any more of what was sealed under this key."""
        ...


class Crew(Protocol):
    """Agents attached by a stream, and which of them are busy."""

    def reserve(self, tenant: str, agent_id: str, run_id: str) -> bool:
        """Bind an agent to a run; True if it is now (or was already) bound to it."""
        ...

    def reserve_any(self, tenant: str, run_id: str) -> str:
        """Bind a free agent of the built-in crew, the one that rested longest; empty when all are busy."""
        ...

    def release(self, tenant: str, agent_id: str, run_id: str) -> None: ...

    def present(self, tenant: str) -> bool:
        """Whether any agent of the built-in crew that may work is attached, busy or not."""
        ...

    def seated(self, tenant: str, agent_id: str) -> bool:
        """Whether an agent is attached to this process."""
        ...

    def elsewhere(self, tenant: str, agent_id: str) -> bool:
        """Whether an agent (empty: any of the built-in crew) is attached to another replica."""
        ...

    async def freed(self, timeout_seconds: float) -> None:
        """Wait until an agent was freed or attached, or the time is over."""
        ...

    def token(self, tenant: str, agent_id: str) -> str:
        """The agent's newest session token, empty when it is not attached."""
        ...

    async def think(self, tenant: str, agent_id: str, task: Task, timeout_seconds: float) -> Proposal:
        """Raises AGENT_FAILED (Refused) with what the agent said, or Unavailable when it is not attached."""
        ...
