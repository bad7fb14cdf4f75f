"""Artifacts are kept for so many days and no longer. What was said of them in the log stays, and their hashes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from chassis.telemetry import get_logger
from services.state.adapters.contents import ArtifactDirectory

_log = get_logger("state.artifacts")
_LOOK_SECONDS = 3600.0
_UNNAMED = timedelta(minutes=10)


@asynccontextmanager
async def kept_for(
    contents: ArtifactDirectory, days: float, now: Callable[[], datetime]
) -> AsyncIterator[None]:
    """Inside, what is older than `days` is deleted, at most an hour later; 0 means that nothing is.

    Before that goes what a process that was killed had begun to write.
    """
    swept = await contents.sweep((now() - _UNNAMED).timestamp())
    if swept:
        _log.info("artifacts that were never finished are swept", files=swept)
    task = asyncio.create_task(_forget(contents, days, now), name="forgetting") if days else None
    try:
        yield
    finally:
        if task is not None:
            task.cancel()


async def _forget(contents: ArtifactDirectory, days: float, now: Callable[[], datetime]) -> None:
    while True:
        try:
            count = await contents.forget_before((now() - timedelta(days=days)).timestamp())
            if count:
                _log.info("artifacts were deleted: their time is over", artifacts=count, days=days)
        except OSError as problem:
            _log.warning("artifacts whose time is over are still there", why=str(problem))
        await asyncio.sleep(min(_LOOK_SECONDS, days * 8640))
