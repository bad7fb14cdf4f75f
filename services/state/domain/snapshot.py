"""An agent as it is told to others, put together from what lies in the store."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from services.state.domain.attention import Stuck, Waiting
from services.state.domain.documents import LockDocument, StateDocument, errors_from
from services.state.domain.errors import ErrorCounts
from services.state.domain.packet import Packet
from services.state.domain.plain import from_json


@dataclass(frozen=True, slots=True)
class HeldLock:
    holder: str
    fencing_token: int
    expire_time: datetime


@dataclass(frozen=True, slots=True)
class LockInUse:
    """A lock that is held, and who waits for it, first in turn first."""

    agent_id: str
    task_id: str
    lock: HeldLock
    waiting: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AgentSnapshot:
    agent_id: str
    packet: Packet | None
    run_id: str
    phase: str
    step: str
    errors: ErrorCounts
    lock: HeldLock | None
    heartbeat_time: datetime | None
    sequence: int
    waiting: Waiting | None = None
    stuck: Stuck | None = None
    labels: tuple[str, ...] = ()


def snapshot(
    packet: str | None,
    state: str,
    errors: Mapping[str, str],
    lock: str | None,
    heartbeat: str | None,
    at: datetime,
) -> AgentSnapshot:
    """The agent as it is `at` this moment: a lock counts only while its lease runs."""
    position = from_json(StateDocument, state)
    held = from_json(LockDocument, lock) if lock else None
    return AgentSnapshot(
        position.agent_id,
        from_json(Packet, packet) if packet else None,
        position.run_id,
        position.phase,
        position.step,
        errors_from(errors),
        HeldLock(held.holder, held.fencing_token, held.expire_time)
        if held and at < held.expire_time
        else None,
        datetime.fromisoformat(heartbeat) if heartbeat else None,
        position.sequence,
        position.waiting,
        position.stuck,
        position.labels,
    )
