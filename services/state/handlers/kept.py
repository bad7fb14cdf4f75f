"""Everything that state decides on: one kind of aggregate each."""

from dataclasses import dataclass

from kernel.ports import Aggregates
from services.state.domain import agent, task


@dataclass(frozen=True, slots=True)
class Kept:
    """All of these hear of every event, see `services.state.reactor`."""

    agents: Aggregates[agent.Agent, agent.Command]
    tasks: Aggregates[task.Task, task.Command]
