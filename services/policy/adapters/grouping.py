"""Those who arrive together are written together, so that a call shares one fsync with its neighbours.

One group is under way at a time. Callers who were answered together come back together, one by one: the next group
leaves when as many are here as there were, those just written and those who came meanwhile; without the rest when
nobody has come for 2 ms, or after 30 ms. Groups that left sooner would become smaller and smaller, and one costs the
same for few as for many. One caller alone waits for nobody.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, Protocol, TypeVar

PAUSE_SECONDS = 0.002
LATE_SECONDS = 0.0005
"""A pause that ends later than this was none: we were busy, and those who came may not have been let in yet."""
LONGEST_WAIT_SECONDS = 0.03
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
        self._callers = 1
        self._answered = 0.0
        self._together = asyncio.Event()

    def add(self, item: Item) -> None:
        """Have it written, soon."""
        self._waiting.append(item)
        if len(self._waiting) >= self._callers:
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
                if len(self._waiting) < self._callers:
                    await self._company()
                group = self._next_group()
                await self._write(group)
                self._callers = len(group) + len(self._waiting)
                self._answered = self._monotonic()
        finally:
            self._flushing = None

    async def _company(self) -> None:
        """Wait for those who were answered together, as long as they keep coming."""
        until = self._answered + LONGEST_WAIT_SECONDS
        came = 0
        while came < len(self._waiting) < self._callers and (now := self._monotonic()) < until:
            came = len(self._waiting)
            self._together.clear()
            try:
                async with asyncio.timeout(PAUSE_SECONDS):
                    await self._together.wait()
            except TimeoutError:
                if self._monotonic() - now > PAUSE_SECONDS + LATE_SECONDS:
                    came = 0

    def _next_group(self) -> list[Item]:
        size_bytes, n = 0, 0
        for waiting in self._waiting:
            size_bytes += waiting.size_bytes
            if n and size_bytes > MAX_EVENT_BYTES:
                break
            n += 1
        group, self._waiting = self._waiting[:n], self._waiting[n:]
        return group
