"""Reads of several callers, made one call of the store: what a call costs is for the most part not what it asks for."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from chassis.process import monotonic
from services.state.domain.view import Place

APART_SECONDS = 0.0015
"""How far calls of several callers are apart. Who is alone does not wait for others."""
PLACES_AT_ONCE = 500


class _Group:
    """Whoever asked until its turn came."""

    __slots__ = ("callers", "places", "reading")

    def __init__(self) -> None:
        self.callers = 0
        self.places: list[Place] = []
        self.reading: asyncio.Future[Sequence[str | None]] | None = None


class Together:
    """One call of `read` at a time: its answers are those of all who asked before it began."""

    def __init__(self, read: Callable[[Sequence[Place]], Awaitable[Sequence[str | None]]]) -> None:
        self._read = read
        self._group = _Group()
        self._turn = asyncio.Lock()
        self._not_before = 0.0

    async def read(self, places: Sequence[Place]) -> Sequence[str | None]:
        """The texts, in order. Raises what `read` raises."""
        if len(self._group.places) >= PLACES_AT_ONCE:
            self._group = _Group()
        group = self._group
        first = len(group.places)
        group.places += places
        group.callers += 1
        if group.reading is None:
            group.reading = asyncio.ensure_future(self._answered(group))
            group.reading.add_done_callback(_heard)
        # Who goes away takes nothing from the others.
        values = await asyncio.shield(group.reading)
        return values[first : first + len(places)]

    async def _answered(self, group: _Group) -> Sequence[str | None]:
        async with self._turn:
            early = self._not_before - monotonic()
            if early > 0:
                await asyncio.sleep(early)
            if group is self._group:
                self._group = _Group()
            self._not_before = monotonic() + APART_SECONDS if group.callers > 1 else 0.0
            return await self._read(group.places)


def _heard(done: "asyncio.Future[Sequence[str | None]]") -> None:
    """All who asked may have gone away."""
    if not done.cancelled():
        done.exception()
