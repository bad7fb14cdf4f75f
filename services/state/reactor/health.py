"""Whether state may be asked at all."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from chassis.eventlog.follower import Follower, FollowerState
from services.state.reactor.mirror import StoreMirror

_LOOK_SECONDS = 0.1


@asynccontextmanager
async def kept_up(
    follower: Follower, mirror: StoreMirror, set_serving: Callable[[bool], Awaitable[None]]
) -> AsyncIterator[None]:
    """Inside, the store is kept up with the log, and health says so; what fails in here ends what is inside."""
    async with asyncio.TaskGroup() as group:
        keeping = (
            group.create_task(mirror.run(), name="mirror"),
            group.create_task(_keep_health(follower, mirror, set_serving), name="health"),
        )
        yield
        for task in keeping:
            task.cancel()


async def _keep_health(
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
