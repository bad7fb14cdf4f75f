"""Who waits for a lock, in the order they asked: fair within this process, and correct across several.

Nobody is granted anything here. Whoever is first tries for the lock as everybody does, by an append, and goes on
waiting if another process was quicker.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from kernel.faults import Unavailable
from services.state.domain.faults import TooManyWait

MOST_WAITING = 64
"""For one lock."""
MOST_WAITING_IN_ALL = 10_000
_LOOK_AGAIN_SECONDS = 1.0
"""A lease ends by the wall clock, which may be set: so long is it trusted."""

Key = tuple[str, str]
"""Tenant and agent."""


class Turn:
    """One who waits."""

    def __init__(self, queue: "_Queue", holder: str) -> None:
        self.holder = holder
        self._queue = queue

    @property
    def first(self) -> bool:
        return self._queue.turns[0] is self

    @property
    def news(self) -> asyncio.Event:
        """Set when the lock may have become free, or the turn may have come: take it before looking."""
        return self._queue.news


class _Queue:
    def __init__(self) -> None:
        self.turns: list[Turn] = []
        self.news = asyncio.Event()

    def tell(self) -> None:
        news, self.news = self.news, asyncio.Event()
        news.set()


class Turns:
    """The queues of all locks."""

    def __init__(self) -> None:
        self._queues: dict[Key, _Queue] = {}
        self._closed = False
        self._waiting = 0

    def holders(self, key: Key) -> tuple[str, ...]:
        """Who waits, first in turn first."""
        queue = self._queues.get(key)
        return tuple([turn.holder for turn in queue.turns]) if queue else ()

    def changed(self, key: Key) -> None:
        """The lock may have become free."""
        queue = self._queues.get(key)
        if queue is not None:
            queue.tell()

    def close(self) -> None:
        """Nobody waits here any more: this process is about to stop, and another has to be asked."""
        self._closed = True
        for queue in self._queues.values():
            queue.tell()

    @contextmanager
    def joined(self, key: Key, holder: str) -> Iterator[Turn]:
        """A place in the queue, left when the caller leaves, for whatever reason.

        Raises:
            TooManyWait: the queue is full, or all of them together.
        """
        if self._waiting >= MOST_WAITING_IN_ALL:
            raise TooManyWait(key[1], self._waiting, "locks here")
        queue = self._queues.setdefault(key, _Queue())
        if len(queue.turns) >= MOST_WAITING:
            raise TooManyWait(key[1], len(queue.turns))
        turn = Turn(queue, holder)
        queue.turns.append(turn)
        self._waiting += 1
        try:
            yield turn
        finally:
            self._waiting -= 1
            queue.turns.remove(turn)
            queue.tell()
            if not queue.turns:
                del self._queues[key]

    async def wait(self, news: asyncio.Event, at_most_seconds: float) -> None:
        """Until there is news, or the time is over.

        Raises:
            Unavailable: this process is about to stop (reason `SHUTTING_DOWN`).
        """
        if not self._closed:
            try:
                async with asyncio.timeout(max(0.0, min(at_most_seconds, _LOOK_AGAIN_SECONDS))):
                    await news.wait()
            except TimeoutError:
                return
        if self._closed:
            raise Unavailable("SHUTTING_DOWN", "this server is stopping; try again")
