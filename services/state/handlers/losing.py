"""A revoked agent loses its power here: its lock is taken away, and nothing is written in its name any more."""

from collections.abc import Awaitable, Callable, Mapping

from kernel.events import Cause, derived_id
from services.state.domain.faults import LockNotHeld
from services.state.domain.lock import ForceReleaseLock
from services.state.domain.view import View
from services.state.handlers.kept import Kept
from services.state.handlers.turns import Turns
from services.state.handlers.writing import Writing
from services.state.ports import Clock

ACTOR = "service:state"
WHY = "its agent was revoked"


class Losing:
    """What state takes from a revoked agent. Each method answers when it is gone; all are safe to repeat."""

    def __init__(self, kept: Kept, view: View, turns: Turns, writing: Writing, clock: Clock) -> None:
        self._agents = kept.agents
        self._view = view
        self._turns = turns
        self._writing = writing
        self._clock = clock

    @property
    def surfaces(self) -> Mapping[str, Callable[[str, str], Awaitable[int]]]:
        return {"locks": self.locks, "writes": self.writes}

    async def locks(self, tenant: str, agent_id: str) -> int:
        """The lock is taken away, in the log, as a person could do it; 1 if this process did it.

        No other is granted: whoever asks here from now on is refused, and whoever was let in before is served before.
        """
        self._require_known(tenant, agent_id)
        at, lock = self._clock.now(), self._agents.current(tenant, agent_id).lock
        token = str(lock.fencing_token if lock else 0)
        cause = Cause(tenant, derived_id(tenant, "lock of revoked", agent_id, token), ACTOR, at)
        try:
            # Also when none is known: one may be on its way to the log at this moment.
            with self._writing.changing(tenant, agent_id) as guard:
                taken = ForceReleaseLock(agent_id, WHY, ACTOR, at)
                appended = await self._agents.handle(agent_id, taken, cause, guard)
        except LockNotHeld:
            return 0
        self._turns.changed((tenant, agent_id))
        now_held = self._agents.current(tenant, agent_id).lock
        if now_held is not None and not now_held.released:
            raise RuntimeError(f"{agent_id} holds a lock again")
        return 0 if appended.duplicate else 1

    async def writes(self, tenant: str, agent_id: str) -> int:
        """What it writes is refused, and what was let in before that is over; how many those were."""
        self._require_known(tenant, agent_id)
        return await self._writing.over(tenant, agent_id)

    def _require_known(self, tenant: str, agent_id: str) -> None:
        if not self._view.is_revoked(tenant, agent_id):
            raise RuntimeError(f"the revocation of {agent_id} has not been folded")
