"""Those who arrive together are written together, so that a call shares one fsync with its neighbours.

One group is under way at a time. The next leaves when it is written, but not sooner than 2 ms after it began if the
last group had more than one: callers who were answered together come back together, and a moment's wait keeps them in
one group. Until as many have come back it waits up to 8 ms, for on a slow machine they come one by one.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, Protocol, TypeVar

WAIT_SECONDS = 0.002
LONGEST_WAIT_SECONDS = 0.008
MAX_EVENT_BYTES = 900_000


class Weighed(Protocol):
    """About how large it will be in an event."""

    @property
    def size_bytes(self) -> int: ...


Item = TypeVar("Item", bound=Weighed)


class Grouping(Generic[Item]):
    """`write` is given one group after the other, none larger than an event; it answers them and never raises."""

    def __init__(
        self, name: str, write: Callable[[Sequence[Item]], Awaitable[None]], monotonic: Callable[[], float]
    ) -> None:
        self._name = name
        self._write = write
        self._monotonic = monotonic
        self._waiting: list[Item] = []
        self._flushing: asyncio.Task[None] | None = None
        self._last_flush = 0.0
        self._last_group = 1
        self._together = asyncio.Event()

    def add(self, item: Item) -> None:
        """Have it written, soon."""
        self._waiting.append(item)
        if len(self._waiting) >= self._last_group:
            self._together.set()
        if self._flushing is None:
            self._flushing = asyncio.create_task(self._flush(), name=self._name)

    async def idle(self) -> None:
        """Wait until whatever was added has been written."""
        while self._flushing is not None:
            await asyncio.wait({self._flushing})

    async def _flush(self) -> None:
        try:
            while self._waiting:
                if self._last_group > 1:
                    await self._company()
                group = self._next_group()
                self._last_flush, self._last_group = self._monotonic(), len(group)
                await self._write(group)
        finally:
            self._flushing = None

    async def _company(self) -> None:
        """Wait a moment for those who were answered together."""
        left = self._last_flush + WAIT_SECONDS - self._monotonic()
        if left > 0:
            await asyncio.sleep(left)
        self._together.clear()
        left = self._last_flush + LONGEST_WAIT_SECONDS - self._monotonic()
        if len(self._waiting) < self._last_group and left > 0:
            try:
                async with asyncio.timeout(left):
                    await self._together.wait()
            except TimeoutError:
                return  # whoever is missing does not come back

    def _next_group(self) -> list[Item]:
        size_bytes, n = 0, 0
        for waiting in self._waiting:
            size_bytes += waiting.size_bytes
            if n and size_bytes > MAX_EVENT_BYTES:
                break
            n += 1
        group, self._waiting = self._waiting[:n], self._waiting[n:]
        return group
