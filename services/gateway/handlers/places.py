"""Places for what is large or slow: a few at once, so that memory is bounded, whoever sends and by whichever door."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from kernel.faults import Unavailable

LARGE_AT_ONCE = 2
QUEUE_SECONDS = 10.0
RETRY_SECONDS = 2.0


class LargePlaces:
    """For bodies and messages beyond 1 MiB, which the services behind the door take to pieces: REST's and gRPC's."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(LARGE_AT_ONCE)

    async def take(self) -> None:
        """Raises:
        Unavailable: none was free for a while (`GATEWAY_BUSY`).
        """
        try:
            async with asyncio.timeout(QUEUE_SECONDS):
                await self._free.acquire()
        except TimeoutError:
            raise _busy("busy with other large logs; try again") from None

    def release(self) -> None:
        self._free.release()


@dataclass(slots=True)
class _Held:
    free: asyncio.Semaphore
    users: int = 0


class Places:
    """So many for `each` holder, and so many `in_all`; who waits does so in turn, and holds up no other holder."""

    def __init__(self, each: int, in_all: int) -> None:
        self._each = each
        self._free = asyncio.Semaphore(in_all)
        self._holders: dict[str, _Held] = {}

    @asynccontextmanager
    async def one(self, holder: str) -> AsyncIterator[None]:
        """Raises:
        Unavailable: none was free for a while (`GATEWAY_BUSY`).
        """
        held = self._holders.get(holder)
        if held is None:
            held = self._holders[holder] = _Held(asyncio.Semaphore(self._each))
        held.users += 1
        try:
            await _within_the_queue(held.free)
            try:
                await _within_the_queue(self._free)
                try:
                    yield
                finally:
                    self._free.release()
            finally:
                held.free.release()
        finally:
            held.users -= 1
            if not held.users:
                del self._holders[holder]


async def _within_the_queue(free: asyncio.Semaphore) -> None:
    if not free.locked():
        await free.acquire()  # at once
        return
    try:
        async with asyncio.timeout(QUEUE_SECONDS):
            await free.acquire()
    except TimeoutError:
        raise _busy("too many messages are on their way in; try again") from None


def _busy(text: str) -> Unavailable:
    return Unavailable("GATEWAY_BUSY", text, retry_after_seconds=f"{RETRY_SECONDS:g}")
