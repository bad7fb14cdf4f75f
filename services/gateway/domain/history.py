"""What the ledger's projections, chains of causes, replays and watches show."""

from dataclasses import dataclass
from datetime import datetime

from services.gateway.domain.records import Event


@dataclass(frozen=True, slots=True)
class ViolationFilter:
    from_time: datetime | None = None
    to_time: datetime | None = None
    agent_id: str = ""
    task_id: str = ""
    run_id: str = ""
    error_type: str = ""


@dataclass(frozen=True, slots=True)
class Violation:
    sequence: int
    event_id: str
    timestamp: datetime | None
    agent_id: str
    run_id: str
    task_id: str
    error_type: str
    message: str


@dataclass(frozen=True, slots=True)
class PromotionFilter:
    from_time: datetime | None = None
    to_time: datetime | None = None
    agent_id: str = ""
    to_tier: str = ""


@dataclass(frozen=True, slots=True)
class Promotion:
    """A change of tier; the first, from none, is the registration."""

    sequence: int
    event_id: str
    timestamp: datetime | None
    agent_id: str
    from_tier: str
    to_tier: str
    reason: str
    by: str


@dataclass(frozen=True, slots=True)
class ApprovalRecordFilter:
    from_time: datetime | None = None
    to_time: datetime | None = None
    agent_id: str = ""
    task_id: str = ""
    run_id: str = ""
    action: str = ""
    state: str = ""


@dataclass(frozen=True, slots=True)
class ApprovalRecord:
    """What people were asked, what they answered, and which decision it was spent on."""

    sequence: int
    approval_id: str
    state: str
    request_time: datetime | None
    expire_time: datetime | None
    answer_time: datetime | None
    use_time: datetime | None
    agent_id: str
    run_id: str
    task_id: str
    action: str
    target: str
    action_digest: str
    requested_by: str
    why: str
    answered_by: str
    comment: str
    decision_id: str


@dataclass(frozen=True, slots=True)
class Step:
    """An event in one line; `caused_by_sequence` is 0 when its cause is not known."""

    summary: str
    caused_by_sequence: int
    event: Event


@dataclass(frozen=True, slots=True)
class Chain:
    """What led to an event, oldest first; `incomplete` when there was more, or an event it names is not there."""

    steps: tuple[Step, ...]
    incomplete: bool


@dataclass(frozen=True, slots=True)
class WatchFrom:
    """Where a watch begins: behind a cursor; without one from the first event, or from now."""

    cursor: str = ""
    from_start: bool = False


@dataclass(frozen=True, slots=True)
class Watched:
    """Events, perhaps none, and the cursor that stands behind them."""

    events: tuple[Event, ...]
    cursor: str
    ledger_sequence: int
