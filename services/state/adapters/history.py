"""The log from its beginning, read with a follower of its own that ends where it was told to."""

from collections.abc import Callable, Sequence
from typing import Protocol

from chassis.eventlog.feed import Source
from chassis.eventlog.follower import Follower
from kernel.events import Recorded
from kernel.ports import EventLog

PATIENCE_SECONDS = 600.0


class Followable(EventLog, Source, Protocol):
    """A log that can also be followed."""


class LogHistory:
    """Implements `services.state.ports.History`."""

    def __init__(self, log: Followable, filters: Sequence[str]) -> None:
        self._log = log
        self._filters = filters

    async def replay(self, take: Callable[[Recorded], None], after: int, upto: int) -> None:
        async def deliver(events: Sequence[Recorded]) -> None:
            for recorded in events:
                if recorded.sequence <= upto:
                    take(recorded)

        if upto <= after:
            return
        follower = Follower(self._log, self._filters, after, deliver, "state history")
        await follower.start()
        try:
            await follower.reached(upto, PATIENCE_SECONDS)
        finally:
            await follower.stop()

    async def last_sequence(self) -> int:
        return await self._log.last_sequence()
