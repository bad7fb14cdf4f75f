"""Callers who ask for runs, and an auditor who reads them in the ledger, all the while that the cluster is hurt."""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import httpx2 as httpx

from tests.chaos.callers import Callers
from tests.system.cluster.figures import Figure
from tests.system.cluster.front import Front

AT_ONCE, PAUSE_SECONDS = 4, 0.5
"""Some runs a second: what is measured is how long the cluster has no answer, not how busy two cores can be."""
PROGRESS = 4
"""Runs that must have been answered before a scenario counts as begun, and again before it counts as over."""
PROGRESS_SECONDS = 60.0
_LOOK_SECONDS = 0.1


class Auditor:
    """Looks for the newest acknowledged run in the ledger until its end is there; then for the next."""

    def __init__(self, base_url: str, key: str, callers: Callers) -> None:
        self._base_url, self._key, self._callers = base_url, key, callers
        self.last_answer = time.monotonic()
        self.longest_gap_seconds = 0.0
        self.seen = 0
        self.unexpected: list[str] = []

    async def read(self) -> None:
        async with httpx.AsyncClient(
            base_url=self._base_url, headers={"X-API-Key": self._key}, timeout=30
        ) as client:
            while True:
                if self._callers.acknowledged:
                    *_, newest = self._callers.acknowledged
                    await self._until_there(client, newest)
                await asyncio.sleep(_LOOK_SECONDS)

    async def _until_there(self, client: httpx.AsyncClient, run_id: str) -> None:
        query = {"aggregate": "run", "aggregate_id": run_id, "event_type": "RunEnded"}
        while not await self._there(client, query):
            await asyncio.sleep(_LOOK_SECONDS)
        now = time.monotonic()
        self.longest_gap_seconds = max(self.longest_gap_seconds, now - self.last_answer)
        self.last_answer, self.seen = now, self.seen + 1

    async def _there(self, client: httpx.AsyncClient, query: dict[str, str]) -> bool:
        try:
            answer = await client.get("/api/events", params=query)
        except httpx.TransportError:
            return False
        if answer.status_code == 200:
            return bool(answer.json()["items"])
        if answer.status_code not in (502, 503, 504):
            self.unexpected.append(f"{answer.status_code} {answer.text[:500]}")
        return False


class Load:
    """In a thread of its own, so that it goes on whatever the test waits for."""

    def __init__(self, gateways: Callable[[], list[tuple[str, int]]], operator: str, auditor: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="load", daemon=True)
        self._thread.start()
        self._front = Front(gateways)
        self._wait(self._front.start())
        self.callers = Callers(self._front.url, operator, AT_ONCE, "load-", PAUSE_SECONDS)
        self.auditor = Auditor(self._front.url, auditor, self.callers)
        self._asking = asyncio.run_coroutine_threadsafe(self.callers.ask(), self._loop)
        self._reading = asyncio.run_coroutine_threadsafe(self.auditor.read(), self._loop)

    def progress(self) -> None:
        """Wait until callers have been answered some more runs, and the ledger tells of one of those."""
        self._wait(self.callers.more(PROGRESS, PROGRESS_SECONDS))
        seen, begun = self.auditor.seen, time.monotonic()
        while self.auditor.seen < seen + 2:  # the first may be of a run from before
            assert time.monotonic() - begun < PROGRESS_SECONDS, "no newer run appears in the ledger"
            time.sleep(0.05)

    @contextmanager
    def through(self, figure: Figure) -> Iterator[Figure]:
        """One scenario: callers are answered before it, after it, and never what they should not be."""
        self.progress()
        self.measured_from_now()
        self.callers.longest_wait_seconds = 0.0
        already = len(self.callers.unexpected), len(self.auditor.unexpected)
        try:
            yield figure
            self.progress()
        finally:
            figure.without_an_answer = self.callers.longest_gap_seconds
            figure.slowest_caller = self.callers.longest_wait_seconds
            figure.ledger_behind = self.auditor.longest_gap_seconds
        unexpected = self.callers.unexpected[already[0] :] + self.auditor.unexpected[already[1] :]
        assert not unexpected, f"{figure.what}: {unexpected}"

    def measured_from_now(self) -> None:
        """What nobody was answered before counts no more."""
        for each in (self.callers, self.auditor):
            each.longest_gap_seconds, each.last_answer = 0.0, time.monotonic()

    def finish(self, seconds: float = 90.0) -> dict[str, int]:
        """See every run that was begun to its end; the sequence that was acknowledged for each run there was."""
        self.callers.finish()
        self._asking.result(seconds)
        return self.callers.acknowledged

    def stop(self) -> None:
        """Whatever is still asked is given up."""
        self._asking.cancel()
        self._reading.cancel()
        self._wait(self._front.stop())
        self._wait(self._ended())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    async def _ended(self) -> None:
        """Nothing goes on that still holds a connection."""
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for each in rest:
            each.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    def _wait(self, coroutine: Coroutine[Any, Any, object]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(PROGRESS_SECONDS + 30)
