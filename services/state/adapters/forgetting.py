"""Artifacts are kept for so many days and no longer. What was said of them in the log stays, and their hashes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from chassis.telemetry import get_logger
from kernel.faults import Fault
from services.state.domain.view import View
from services.state.ports import Artifacts

_log = get_logger("state.artifacts")
_LOOK_SECONDS = 3600.0
_UNNAMED = timedelta(minutes=10)


@asynccontextmanager
async def forgetting_after(
    contents: Artifacts, days: float, now: Callable[[], datetime], view: View
) -> AsyncIterator[None]:
    """Inside, what is older than `days` is deleted, at most an hour later; 0 means that nothing is. What a checkpoint
    names stays for as long as its run has its agent, or waits: it could not go on.

    So is what a process that was killed had begun to write, and soon.
    """
    task = asyncio.create_task(_forget(contents, days, now, view), name="forgetting")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def _forget(contents: Artifacts, days: float, now: Callable[[], datetime], view: View) -> None:
    while True:
        try:
            swept = await contents.sweep((now() - _UNNAMED).timestamp())
            if swept:
                _log.info("artifacts that were never finished are swept", count=swept)
            before = (now() - timedelta(days=days)).timestamp()
            count = await contents.forget_before(before, view.named_by_checkpoints()) if days else 0
            if count:
                _log.info("artifacts were deleted: their time is over", artifacts=count, days=days)
        except (Fault, OSError) as problem:
            _log.warning("artifacts whose time is over are still there", why=str(problem))
        await asyncio.sleep(min(_LOOK_SECONDS, days * 8640) if days else _LOOK_SECONDS)
