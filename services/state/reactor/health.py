"""Whether state may be asked at all."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from chassis.eventlog.follower import Follower, FollowerState
from services.state.domain.bounds import STALE_SECONDS
from services.state.reactor.mirror import StoreMirror

_LOOK_SECONDS = 0.1
CATCH_UP_SECONDS = 600.0


async def followed(*followers: Follower) -> None:
    """Begin to follow, one after the other; each has caught up before the next begins. Raises Unavailable."""
    for each in followers:
        await each.start()
        await each.caught_up(CATCH_UP_SECONDS)


@asynccontextmanager
async def in_step(
    followers: Sequence[Follower], mirror: StoreMirror, set_serving: Callable[[bool], Awaitable[None]]
) -> AsyncIterator[None]:
    """Inside, the store is kept up with the log, and health says so; what fails in here ends what is inside."""
    async with asyncio.TaskGroup() as group:
        keeping = (
            group.create_task(mirror.run(), name="mirror"),
            group.create_task(_keep_health(followers, mirror, set_serving), name="health"),
        )
        yield
        await mirror.settle()
        for task in keeping:
            task.cancel()


async def _keep_health(
    followers: Sequence[Follower], mirror: StoreMirror, set_serving: Callable[[bool], Awaitable[None]]
) -> None:
    """Serving from when the store has been brought up to the log once, as long as the log is followed to its end.

    Who is cut off from the log can write nothing and does not know what is true now: others are asked instead. A
    store that goes away later is told to whoever reads; what is written needs the log alone.
    """
    serving = False
    while True:
        following = all(
            each.state is not FollowerState.HALTED and each.stale_seconds <= STALE_SECONDS
            for each in followers
        )
        healthy = mirror.filled and following
        if healthy is not serving:
            await set_serving(healthy)
            serving = healthy
        await asyncio.sleep(_LOOK_SECONDS)
