"""What is asked of policy: what an agent is, what it may do, what people said, and that it may no more."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from kernel.events import Cause
from services.orchestrator.domain.records import Action, Decision, Mode


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


@dataclass(frozen=True, slots=True)
class Session:
    """Who a session token speaks for, and until when."""

    tenant: str
    agent_id: str
    expire_time: datetime


class Sessions(Protocol):
    async def session_of(self, token: str, cause: Cause) -> Session:
        """Raises Unauthenticated: TOKEN_INVALID, TOKEN_EXPIRED or TOKEN_MISSING."""
        ...
