"""Callers who wait for runs: until they are over, or wait for a person."""

import asyncio
from contextlib import suppress

from services.orchestrator.domain.phases import RunState
from services.orchestrator.handlers.sharing import Key
from services.orchestrator.ports import Runs


class Waiters:
    """Whoever waits here for a run; nothing of it outlives the process."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self._settled: dict[Key, asyncio.Event] = {}
        self.stopping = False

    async def settled(self, tenant: str, run_id: str, timeout_seconds: float) -> bool:
        """Wait until a run is over or waits for a person; False if it took too long, this process stops, or nothing
        can be written."""
        if self._rests(tenant, run_id):
            return True
        event = self._settled.setdefault((tenant, run_id), asyncio.Event())
        if not self.stopping:
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout_seconds):
                    await event.wait()
        return self._rests(tenant, run_id)

    def wake(self, key: Key) -> None:
        """Those who wait for a run go on if it rests."""
        event = self._settled.get(key)
        if event is not None and self._rests(*key):
            event.set()
            del self._settled[key]

    def send_away(self, key: Key) -> None:
        """Nobody waits for a run any more that cannot go on until people have mended something."""
        event = self._settled.pop(key, None)
        if event is not None:
            event.set()

    def stop(self) -> None:
        """Nobody waits here for a run any more: this process is about to stop, and another will know how it ended."""
        self.stopping = True
        for event in self._settled.values():
            event.set()

    def _rests(self, tenant: str, run_id: str) -> bool:
        run = self._runs.current(tenant, run_id)
        return run.over or run.state is RunState.WAITING
