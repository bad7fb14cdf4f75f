"""Several who ask at once are answered by one, and none by one that had begun before."""

import asyncio

import pytest

from chassis.eventlog.shared import Shared


class Asked:
    """What takes time; `may[n]` lets the n-th one end."""

    def __init__(self) -> None:
        self.begun = 0
        self.may = [asyncio.Event() for _ in range(3)]
        self.began = [asyncio.Event() for _ in range(3)]

    async def __call__(self) -> None:
        n, self.begun = self.begun, self.begun + 1
        self.began[n].set()
        await self.may[n].wait()
        if n == 1:
            raise OSError("no answer")


async def test_who_asks_while_one_is_under_way_is_answered_by_the_next() -> None:
    asked = Asked()
    shared = Shared(asked)
    early = [asyncio.ensure_future(shared()) for _ in range(3)]
    await asked.began[0].wait()
    late = [asyncio.ensure_future(shared()) for _ in range(3)]
    asked.may[0].set()
    await asyncio.gather(*early)
    await asked.began[1].wait()
    assert not any(each.done() for each in late)
    asked.may[1].set()
    assert [type(each) for each in await asyncio.gather(*late, return_exceptions=True)] == [OSError] * 3
    assert asked.begun == 2
    asked.may[2].set()
    await shared()


async def test_who_goes_away_takes_nothing_from_the_others() -> None:
    asked = Asked()
    shared = Shared(asked)
    first, second = asyncio.ensure_future(shared()), asyncio.ensure_future(shared())
    await asked.began[0].wait()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    asked.may[0].set()
    await second
    assert asked.begun == 1
