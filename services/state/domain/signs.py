"""Signs of life: everything by which it can be told whether an agent gets on with its work. Times are seconds."""

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Beat:
    """The agent's process is there; it says nothing of its work."""

    at: float
    agent_id: str


@dataclass(frozen=True, slots=True)
class Did:
    """An action and what came of it, as digests or short words."""

    at: float
    agent_id: str
    action: str
    result: str


@dataclass(frozen=True, slots=True)
class Moved:
    """Something is different because of the agent: a phase, a board entry, an artifact, a packet.

    `to` says where it stands now, if it is that which is different: who has stood there before has got nowhere.
    """

    at: float
    agent_id: str
    to: str = ""


@dataclass(frozen=True, slots=True)
class Said:
    """A message to another agent; `content` is a digest of its type and body. To all when `to` is empty."""

    at: float
    agent_id: str
    to: str
    content: str


@dataclass(frozen=True, slots=True)
class Waits:
    """The agent waits for something outside of it (an approval, a gate, a poll it declared), at most until `until`.

    `what` it is: to wait for the same once more is nothing new.
    """

    at: float
    agent_id: str
    until: float | None = None
    what: str = ""


@dataclass(frozen=True, slots=True)
class Works:
    """The agent has begun, or waits no more."""

    at: float
    agent_id: str


@dataclass(frozen=True, slots=True)
class Left:
    """The agent has ended its work."""

    at: float
    agent_id: str


Sign: TypeAlias = Beat | Did | Moved | Said | Waits | Works | Left
