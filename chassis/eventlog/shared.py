"""What several ask for at once and takes time is done once for all of them."""

import asyncio
from collections.abc import Awaitable, Callable


class Shared:
    """One `ask` at a time. Its outcome is that of all who called before it began: it may be older for nobody."""

    def __init__(self, ask: Callable[[], Awaitable[None]]) -> None:
        self._ask = ask
        self._turn = asyncio.Lock()
        self._next: asyncio.Future[None] | None = None

    async def __call__(self) -> None:
        """Raises what `ask` raises."""
        if self._next is None:
            self._next = asyncio.ensure_future(self._in_turn())
            self._next.add_done_callback(_heard)
        # Who goes away takes nothing from the others.
        await asyncio.shield(self._next)

    async def _in_turn(self) -> None:
        async with self._turn:
            self._next = None
            await self._ask()


def _heard(done: "asyncio.Future[None]") -> None:
    """All who asked may have gone away."""
    if not done.cancelled():
        done.exception()
