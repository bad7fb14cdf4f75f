"""Whether state may be asked at all."""

import asyncio
from collections.abc import Awaitable, Callable

from chassis.eventlog.follower import Follower, FollowerState
from services.state.reactor.mirror import StoreMirror

_LOOK_SECONDS = 0.1


async def keep_health(
    follower: Follower, mirror: StoreMirror, set_serving: Callable[[bool], Awaitable[None]]
) -> None:
    """Serving from when the store has been brought up to the log once, as long as the log is followed.

    A store that goes away later is told to whoever reads; what is written needs the log alone.
    """
    serving = False
    while True:
        healthy = mirror.filled and follower.state is not FollowerState.HALTED
        if healthy is not serving:
            await set_serving(healthy)
            serving = healthy
        await asyncio.sleep(_LOOK_SECONDS)
