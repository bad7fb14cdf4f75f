"""Those who arrive together are written together, so that a call shares one fsync with its neighbours.

One group is under way at a time. The next leaves when it is written, but not sooner than 2 ms after it began if there
was more than one: callers who were answered together come back together, and are kept together. It waits for as many as
there are, those just answered and those who came meanwhile, as long as they keep coming: not past a pause of 1 ms, nor
past 12 ms. Groups that leave without the rest grow smaller and smaller, and one costs the same for few as for many;
next to large ones that cost is nothing, and they leave at once.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, Protocol, TypeVar

WAIT_SECONDS = 0.002
PAUSE_SECONDS = 0.001
LONGEST_WAIT_SECONDS = 0.012
LARGE_BYTES = 32_000
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
        self._waiting_bytes = 0
        self._flushing: asyncio.Task[None] | None = None
        self._last_flush = 0.0
        self._expected = 1
        self._together = asyncio.Event()

    def add(self, item: Item) -> None:
        """Have it written, soon."""
        self._waiting.append(item)
        self._waiting_bytes += item.size_bytes
        if self._complete():
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
                if not self._complete():
                    await self._company()
                group = self._next_group()
                self._last_flush = self._monotonic()
                await self._write(group)
                self._expected = len(group) + len(self._waiting)
        finally:
            self._flushing = None

    async def _company(self) -> None:
        """Wait for those who were answered together, as long as they keep coming."""
        left = self._last_flush + WAIT_SECONDS - self._monotonic()
        if left > 0:
            await asyncio.sleep(left)
        until = self._last_flush + LONGEST_WAIT_SECONDS
        here = 0
        while here < len(self._waiting) and not self._complete() and self._monotonic() < until:
            here = len(self._waiting)
            self._together.clear()
            try:
                async with asyncio.timeout(PAUSE_SECONDS):
                    await self._together.wait()
            except TimeoutError:
                continue

    def _next_group(self) -> list[Item]:
        n = fitting(self._waiting)
        group, self._waiting = self._waiting[:n], self._waiting[n:]
        self._waiting_bytes -= sum([each.size_bytes for each in group])
        return group

    def _complete(self) -> bool:
        """Whether there is nobody to wait for."""
        return len(self._waiting) >= self._expected or self._waiting_bytes >= LARGE_BYTES


def fitting(waiting: Sequence[Weighed]) -> int:
    """How many of `waiting`, from the first on, fit into one event; at least one."""
    size_bytes, n = 0, 0
    for each in waiting:
        size_bytes += each.size_bytes
        if n and size_bytes > MAX_EVENT_BYTES:
            break
        n += 1
    return n
