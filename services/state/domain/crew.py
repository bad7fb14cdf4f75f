"""Who works on a task: told by the locks that agents take for it, across all of them."""

from dataclasses import dataclass, replace

from services.state.domain.agent import Agent
from services.state.domain.lock import LockAcquired, LockForced, LockReleased


@dataclass(frozen=True, slots=True)
class Crew:
    lead: str = ""
    """Who took a lock for the task last and has not given it back."""
    agents: frozenset[str] = frozenset()
    sequence: int = 0


def present(agent: Agent, task_id: str) -> bool:
    """Whether it will read what it is sent in the task: it took its newest lock for it, or a run of it waits there.

    Who has given that lock back may yet return; who took one for another task has left, but for its runs that wait.
    """
    lock, waits = agent.lock, agent.waits
    return (
        (lock is not None and lock.task_id == task_id)
        or (waits is not None and waits.task_id == task_id)
        or any(each.task_id == task_id for each in agent.parted.values())
    )


def evolve(crew: Crew, event: LockAcquired | LockReleased | LockForced, sequence: int) -> Crew:
    """`crew` after `event`, which stands at `sequence`."""
    if isinstance(event, LockAcquired):
        return Crew(event.agent_id, crew.agents | {event.agent_id}, sequence)
    lead = "" if crew.lead == event.agent_id else crew.lead
    return replace(crew, lead=lead, sequence=sequence)
