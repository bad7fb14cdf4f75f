"""Who works on a task: told by the locks that agents take for it, across all of them."""

from dataclasses import dataclass, replace

from services.state.domain.lock import LockAcquired, LockForced, LockReleased


@dataclass(frozen=True, slots=True)
class Crew:
    lead: str = ""
    """Who took a lock for the task last and has not given it back."""
    agents: frozenset[str] = frozenset()
    sequence: int = 0


def evolve(crew: Crew, event: LockAcquired | LockReleased | LockForced, sequence: int) -> Crew:
    """`crew` after `event`, which stands at `sequence`."""
    if isinstance(event, LockAcquired):
        return Crew(event.agent_id, crew.agents | {event.agent_id}, sequence)
    lead = "" if crew.lead == event.agent_id else crew.lead
    return replace(crew, lead=lead, sequence=sequence)
