"""Everything that state decides on: one kind of aggregate each."""

from dataclasses import dataclass

from kernel.ports import Aggregates
from services.state.domain import agent, board, checkpoints, inbox, task
from services.state.ports import Recall


@dataclass(frozen=True, slots=True)
class Kept:
    """All of these hear of every event, see `services.state.reactor`."""

    agents: Aggregates[agent.Agent, agent.Command]
    tasks: Aggregates[task.Task, task.Command]
    boards: Aggregates[board.Board, board.PutEntry]
    inboxes: Aggregates[inbox.Inbox, inbox.Command]
    checkpoints: Aggregates[checkpoints.Checkpoints, checkpoints.SaveCheckpoint]
    """By run."""
    recall: Recall
