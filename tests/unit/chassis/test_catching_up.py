"""Whoever starts waits for the end of the log as long as it is being approached, and no longer."""

import asyncio
from collections.abc import Sequence

import pytest

from chassis.eventlog import follower as module
from chassis.eventlog.feed import Batch, Feed
from chassis.eventlog.follower import Follower
from kernel.events import Recorded
from kernel.faults import Unavailable

WAIT_SECONDS, STEP_SECONDS, STEPS = 60.0, 50.0, 10


class Slow:
    """A log whose follower gets on by one event in 50 seconds, `upto` so many of ten. Both a source and its feed."""

    def __init__(self, upto: int) -> None:
        self.upto = upto
        self.now = 0.0
        self.position = 0

    async def open(
        self, filters: Sequence[str], after: int, last: Recorded | None, *, gather_seconds: float = 0.0
    ) -> Feed:
        return self

    async def next(self) -> Batch:
        for _ in range(10):
            await asyncio.sleep(0)  # whoever waits looks at the time
        self.now += STEP_SECONDS
        self.position = min(self.position + 1, self.upto)
        return Batch([], self.position, 0, self.now if self.position == STEPS else None)

    async def probe(self) -> None: ...

    def hurry(self) -> None: ...

    async def close(self) -> None: ...


async def caught_up(log: Slow, monkeypatch: pytest.MonkeyPatch) -> None:
    async def take(_: Sequence[Recorded]) -> None: ...

    monkeypatch.setattr(module, "monotonic", lambda: log.now)
    follower = Follower(log, (), 0, take, "test")
    await follower.start()
    try:
        await follower.caught_up(WAIT_SECONDS)
    finally:
        await follower.stop()


async def test_who_gets_on_has_all_the_time_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Slow(upto=STEPS)
    await caught_up(log, monkeypatch)
    assert log.now >= STEPS * STEP_SECONDS


async def test_who_gets_no_further_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Slow(upto=4)
    with pytest.raises(Unavailable) as caught:
        await caught_up(log, monkeypatch)
    assert (caught.value.reason, log.position) == ("FOLLOWER_BEHIND", 4)
