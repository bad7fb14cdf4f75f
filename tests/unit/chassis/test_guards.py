"""What is looked at in the moment before something is sent to the log, at every try."""

import asyncio
from collections.abc import Awaitable

import pytest

from chassis.eventlog.aggregates import HeldAggregates
from chassis.eventlog.follower import Follower
from chassis.eventlog.memory import MemoryLog
from kernel.faults import Refused
from tests.contract.eventlog.words import CODEC, cause
from tests.unit.chassis.test_aggregates import SUM, Add, Sum


async def test_it_is_asked_again_at_every_try_and_what_it_raises_leaves_nothing() -> None:
    log = MemoryLog(CODEC)
    sums = HeldAggregates(SUM, log, CODEC)
    log.conflict_next()
    asked = 0

    def guard() -> None:
        nonlocal asked
        asked += 1
        if asked == 2:
            raise Refused("TOO_LATE", "no more")

    with pytest.raises(Refused):
        await sums.handle("a", Add(3), cause("r1"), guard)
    assert (asked, await log.last_sequence()) == (2, 0)
    await sums.handle("a", Add(3), cause("r1"), guard)
    await sums.handle("a", Add(3), cause("r1"), guard)
    await sums.handle("a", Add(0), cause("r2"), guard)
    assert asked == 3, "nothing was to be sent"


async def test_it_is_decided_anew_after_what_is_waited_for() -> None:
    log = MemoryLog(CODEC)
    one, other = HeldAggregates(SUM, log, CODEC), HeldAggregates(SUM, log, CODEC)
    follower = Follower(log, one.filters, 0, one.take, "test")
    await follower.start()
    settled: Awaitable[object] | None = None

    async def meanwhile() -> None:
        await other.handle("a", Add(1), cause("other"))
        await follower.reached(1)

    def guard() -> Awaitable[object] | None:
        nonlocal settled
        if settled is None:
            settled = asyncio.ensure_future(meanwhile())
            return settled
        assert one.current("acme", "a") == Sum(1, (1,))
        return None

    appended = await one.handle("a", Add(3), cause("r1"), guard)
    assert (appended.sequence, one.current("acme", "a")) == (2, Sum(4, (1, 3)))
    await follower.stop()


async def test_what_a_request_wrote_is_known_by_its_id() -> None:
    sums = HeldAggregates(SUM, MemoryLog(CODEC), CODEC)
    assert sums.answered("a", Add, cause("r1")) is None
    first = await sums.handle("a", Add(3), cause("r1"))
    again = sums.answered("a", Add, cause("r1"))
    assert again is not None
    assert (again.sequence, again.event_ids, again.duplicate) == (first.sequence, first.event_ids, True)
    assert sums.answered("a", Add, cause("r2")) is None
    assert sums.answered("b", Add, cause("r1")) is None
