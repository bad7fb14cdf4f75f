"""What a run does while a peer is away: it waits, and asks again."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from kernel.faults import Fault, Unavailable
from services.orchestrator.handlers.carrying import Carried
from services.orchestrator.handlers.waiting import Waiters

log = logging.getLogger(__name__)

_FOR_PEOPLE = frozenset({"STREAM_REGRESSION"})
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.02, 1.0


class Outages:
    def __init__(self, waiters: Waiters) -> None:
        self._waiters = waiters

    async def insist(self, attempt: Callable[[], Awaitable[None]], carried: Carried) -> None:
        """Until it is done: what must be recorded is recorded, however long a peer is away."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                await attempt()
                carried.refused = None
                return
            except Unavailable as fault:
                pause = await self.wait(carried, fault, pause)

    async def wait(self, carried: Carried, fault: Fault, pause: float) -> float:
        """Wait for what is away; how long to wait the next time, in seconds."""
        log.warning("run %s waits: %s (%s)", carried.run_id, fault.text, fault.reason)
        carried.refused = fault if isinstance(fault, Unavailable) and fault.reason in _FOR_PEOPLE else None
        if carried.refused:
            self._waiters.send_away((carried.tenant, carried.run_id))
        await asyncio.sleep(pause)
        return min(pause * 2, LONGEST_PAUSE_SECONDS)
