"""Health of the actuators: they serve as long as revocations come to them."""

import asyncio
from collections.abc import Awaitable, Callable

LOOK_SECONDS = 1.0


async def watch(
    until: Callable[[], Awaitable[object]],
    look: Callable[[], bool],
    set_serving: Callable[[bool], Awaitable[None]],
) -> None:
    """Look once a second, and say what was seen, until it is time to stop."""
    while True:
        await set_serving(look())
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                await until()
                return
        except TimeoutError:
            continue
