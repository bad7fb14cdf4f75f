"""Waiting for a fact instead of for time."""

import asyncio
import time
from collections.abc import Awaitable, Callable


async def until(
    fact: Callable[[], bool | Awaitable[bool]], otherwise: str, timeout_seconds: float = 30.0
) -> None:
    """Wait until `fact` holds; fail saying `otherwise`."""
    end = time.monotonic() + timeout_seconds
    while True:
        holds = fact()
        if not isinstance(holds, bool):
            holds = await holds
        if holds:
            return
        assert time.monotonic() < end, otherwise
        await asyncio.sleep(0.005)
