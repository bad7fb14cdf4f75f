"""Who works on a task: told by the locks that agents take for it, across all of them."""

from dataclasses import dataclass, replace

from services.state.domain.agent import Agent
from services.state.domain.lock import Lock, LockAcquired, LockForced, LockReleased


@dataclass(frozen=True, slots=True)
class Crew:
    holding: tuple[str, ...] = ()
    """Who has a lock for the task, and has not given it back, in the order they took it."""
    agents: frozenset[str] = frozenset()
    sequence: int = 0

    @property
    def lead(self) -> str:
        """Who took its lock last."""
        return self.holding[-1] if self.holding else ""


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


def changed(event: LockAcquired | LockReleased | LockForced, before: Lock | None) -> tuple[str, ...]:
    """Whose crews `event` changes: who takes a lock for another task has left that of its lock `before`."""
    if before is None or before.released or before.task_id == event.task_id:
        return (event.task_id,)
    return before.task_id, event.task_id


def evolve(crew: Crew, task_id: str, event: LockAcquired | LockReleased | LockForced, sequence: int) -> Crew:
    """`crew` of the task after `event`, which stands at `sequence`."""
    others = tuple([each for each in crew.holding if each != event.agent_id])
    if isinstance(event, LockAcquired) and event.task_id == task_id:
        return Crew((*others, event.agent_id), crew.agents | {event.agent_id}, sequence)
    return replace(crew, holding=others, sequence=sequence)
