"""Slow work in threads of its own: neither what is decided waits for it, nor what else is done in threads."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from services.policy.domain.policyset_faults import TooManyDocuments
from services.policy.ports.sets import GivenUp

Found = TypeVar("Found")


class Apart:
    """So much at once; behind it at most so much waits, or all that there is."""

    def __init__(self, name: str, at_once: int, most_waiting: int | None = None) -> None:
        self._threads = ThreadPoolExecutor(at_once, name)
        self._places = asyncio.Semaphore(at_once)
        self._most_waiting = most_waiting
        self._waiting = 0

    async def run(self, work: Callable[[GivenUp], Found]) -> Found:
        """What `work` finds. Who goes away gives it up, and its place is free when its thread is, and no sooner.

        Raises:
            TooManyDocuments: as many wait as may.
        """
        if self._most_waiting is not None and self._waiting >= self._most_waiting:
            raise TooManyDocuments(self._most_waiting)
        self._waiting += 1
        try:
            await self._places.acquire()
        finally:
            self._waiting -= 1
        gone = False
        found = asyncio.get_running_loop().run_in_executor(self._threads, work, lambda: gone)
        found.add_done_callback(self._ended)
        try:
            return await asyncio.shield(found)
        finally:
            gone = True

    def _ended(self, found: asyncio.Future[Found]) -> None:
        self._places.release()
        if not found.cancelled():
            found.exception()  # of what was given up nobody asks how it ended
