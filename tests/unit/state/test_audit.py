"""The audit of the store and of memory comes to an end, whatever is written meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from chassis.process import now
from kernel.events import Recorded
from services.state.domain.view import View
from services.state.reactor.audit import StoreAudit


class Busy:
    """Log, follower, store and mirror in one; whenever the log is read, somebody has written to it since."""

    def __init__(self) -> None:
        self.view = View()
        self.asked_for: list[int] = []

    async def last_sequence(self) -> int:
        return self.view.sequence

    async def replay(self, take: Callable[[Recorded], None], after: int, upto: int) -> None:
        self.asked_for.append(upto)
        self.view.sequence += 1

    async def reached(self, sequence: int, *_: Any) -> None: ...

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        yield

    async def catch_up(self) -> None: ...

    async def dump(self) -> dict[str, object]:
        return {}

    async def position(self) -> int:
        return self.view.sequence


async def test_it_ends_while_others_write() -> None:
    busy: Any = Busy()
    async with asyncio.timeout(10):
        verdict = await StoreAudit(busy.view, busy, busy, busy, busy, now).verify()
    assert verdict.equal
    assert busy.asked_for == [0, 1], "memory is held against the log as of the moment it was looked at"
