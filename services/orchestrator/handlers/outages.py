"""What a run does while a peer is away, or has no room: it waits, and asks again."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from kernel.faults import AppendConflict, Fault, Unavailable
from services.orchestrator.handlers.carrying import Carried
from services.orchestrator.handlers.waiting import Waiters

log = logging.getLogger(__name__)

_FOR_PEOPLE = frozenset({"STREAM_REGRESSION", "LOG_FULL", "ARTIFACTS_FULL"})
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.02, 1.0


def passes(fault: Fault) -> bool:
    """Whether asking again is all there is to do: in a moment it may be otherwise, or once people have seen to it."""
    if fault.reason in _FOR_PEOPLE:
        # Of a task that has all the artifacts it may have, none goes.
        return "task_id" not in fault.facts
    return isinstance(fault, Unavailable | AppendConflict)


class Outages:
    def __init__(self, waiters: Waiters) -> None:
        self._waiters = waiters

    async def insist(self, attempt: Callable[[], Awaitable[None]], carried: Carried) -> None:
        """Until it is done: what must be recorded is recorded, however long a peer is away.

        Raises:
            Fault: one that does not pass.
        """
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                await attempt()
                carried.refused = None
                return
            except Fault as fault:
                if not passes(fault):
                    raise
                pause = await self.wait(carried, fault, pause)

    async def wait(self, carried: Carried, fault: Fault, pause: float) -> float:
        """Wait for what passes; how long to wait the next time, in seconds."""
        log.warning("run %s waits: %s (%s)", carried.run_id, fault.text, fault.reason)
        carried.refused = fault if fault.reason in _FOR_PEOPLE else None
        if carried.refused:
            self._waiters.send_away((carried.tenant, carried.run_id))
        await asyncio.sleep(pause)
        return min(pause * 2, LONGEST_PAUSE_SECONDS)
