"""Reads of several callers are one call of the store, and each caller gets its own."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest

from kernel.faults import Unavailable
from services.state.domain.faults import StoreUnreachable
from services.state.domain.view import Part, Place, View
from services.state.ports import Reading, Store
from services.state.reactor import StoreMirror
from tests.fakes.wait import until
from tests.unit.state.worlds import T0


class Slow:
    """Answers each place with its name, once it may."""

    def __init__(self) -> None:
        self.calls: list[int] = []
        self.may = asyncio.Event()
        self.fails = False

    async def read(self, places: Sequence[Place]) -> Reading:
        self.calls.append(len(places))
        await self.may.wait()
        if self.fails:
            raise StoreUnreachable
        return Reading([place.id for place in places], 0)

    async def position(self) -> int:
        return 0


async def mirror_over(store: Any) -> StoreMirror:
    mirror = StoreMirror(View(), cast(Store, store), now=lambda: T0, new_mark=str)
    await mirror.open(nothing_written)
    return mirror


async def nothing_written() -> int:
    return 0


def places(*names: str) -> list[Place]:
    return [Place("default", name, Part.STATE) for name in names]


async def test_those_that_come_while_one_is_read_are_read_together_and_each_gets_its_own() -> None:
    store = Slow()
    mirror = await mirror_over(store)
    first = asyncio.create_task(mirror.read(places("a")))
    await until(lambda: store.calls == [1], "the first is not read at once")
    others = [asyncio.create_task(mirror.read(places(f"b{n}", f"c{n}"))) for n in range(40)]
    gone = asyncio.create_task(mirror.read(places("gone")))
    await asyncio.sleep(0)
    gone.cancel()
    store.may.set()
    assert await first == ["a"]
    assert await asyncio.gather(*others) == [[f"b{n}", f"c{n}"] for n in range(40)]
    assert store.calls == [1, 81], "one who went away took something from the others"


async def test_however_many_come_no_call_is_without_end() -> None:
    store = Slow()
    store.may.set()
    mirror = await mirror_over(store)
    names = [f"a{n}" for n in range(2000)]
    assert await asyncio.gather(*(mirror.read(places(name)) for name in names)) == [[name] for name in names]
    assert sum(store.calls) == len(names)
    assert max(store.calls) <= 500


async def test_when_the_store_is_away_each_is_told() -> None:
    store = Slow()
    store.may.set()
    store.fails = True
    mirror = await mirror_over(store)
    answers = await asyncio.gather(*(mirror.read(places("a")) for _ in range(5)), return_exceptions=True)
    assert all(isinstance(each, Unavailable) for each in answers)
    store.fails = False
    assert await mirror.read(places("a")) == ["a"]
    with pytest.raises(asyncio.CancelledError):
        await _cancelled(mirror)


async def _cancelled(mirror: StoreMirror) -> None:
    reading = asyncio.create_task(mirror.read(places("a")))
    await asyncio.sleep(0)
    reading.cancel()
    await reading
