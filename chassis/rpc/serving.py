"""Health of a service that answers: it serves as long as what it cannot do without is there."""

import asyncio
from collections.abc import Awaitable, Callable

LOOK_SECONDS = 1.0


async def serve_while(
    well: Callable[[], bool],
    set_serving: Callable[[bool], Awaitable[None]],
    until: Callable[[], Awaitable[object]],
) -> None:
    """Look once a second whether all is well, and say so in health, until it is time to stop."""
    while True:
        await set_serving(well())
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                await until()
                return
        except TimeoutError:
            continue
