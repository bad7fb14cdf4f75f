"""What an agent waits for, and how it shows that it is stuck: what a person who looks at it has to know."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from services.state.domain.stuck import Kind as StuckKind


class WaitingKind(StrEnum):
    APPROVAL = "APPROVAL"
    GATE = "GATE"
    POLL = "POLL"
    """The agent itself said that it looks at something again and again."""
    LOCK = "LOCK"
    MESSAGE = "MESSAGE"


@dataclass(frozen=True, slots=True)
class Waiting:
    kind: WaitingKind
    what: str
    since: datetime
    until: datetime | None = None
    """When it has to have come; after that the agent may be found stuck."""


@dataclass(frozen=True, slots=True)
class Stuck:
    kind: StuckKind
    evidence: str
    since: datetime
    with_agent_ids: tuple[str, ...] = ()
