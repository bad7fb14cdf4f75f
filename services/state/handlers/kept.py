"""Everything that state decides on: one kind of aggregate each."""

from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from kernel.events import Stream
from kernel.ports import Aggregates
from services.state.domain import agent, board, checkpoints, inbox, task
from services.state.domain.bounds import require_agent_id
from services.state.domain.faults import AgentStateUnknown, RequestIdReused
from services.state.ports import Recall

T = TypeVar("T")
KeptAgents: TypeAlias = Aggregates[agent.Agent, agent.Command]


@dataclass(frozen=True, slots=True)
class Kept:
    """All of these hear of every event, see `services.state.reactor`."""

    agents: KeptAgents
    tasks: Aggregates[task.Task, task.Command]
    boards: Aggregates[board.Board, board.PutEntry]
    inboxes: Aggregates[inbox.Inbox, inbox.Command]
    checkpoints: Aggregates[checkpoints.Checkpoints, checkpoints.SaveCheckpoint]
    """By run."""
    recall: Recall


def known(agents: KeptAgents, tenant: str, agent_id: str) -> agent.Agent:
    """Raises AgentStateUnknown when nothing was ever told of it, Invalid, Unavailable."""
    found = agents.current(tenant, require_agent_id(agent_id))
    if not found.sequence:
        raise AgentStateUnknown(agent_id)
    return found


async def written_before(recall: Recall, stream: Stream, sequence: int, kind: type[T]) -> T:
    """What a request wrote when it was asked before: the event at `sequence`.

    Raises RequestIdReused when it is of another kind, Unavailable.
    """
    event = await recall.event(stream, sequence)
    if not isinstance(event, kind):
        raise RequestIdReused
    return event


def require_same(written: object, asked: object, *fields: str) -> None:
    """Raises RequestIdReused when what a request wrote before is not what it asks for now."""
    if any(getattr(written, field) != getattr(asked, field) for field in fields):
        raise RequestIdReused
