"""Signs of life that come at once are one call to the store; what fails is told to everyone who was in it."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from services.state.domain.documents import Document
from services.state.domain.faults import StoreUnreachable
from services.state.domain.view import Place, View
from services.state.reactor.mirror import StoreMirror
from tests.unit.state.worlds import T0, at


class Slow:
    """Of a store, what a beat needs: it answers when it is let."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.let, self.down = asyncio.Event(), False

    async def write(self, documents: Sequence[Document], at: datetime) -> Sequence[Place]:
        self.calls.append([each.place.id for each in documents])
        await self.let.wait()
        if self.down:
            raise StoreUnreachable
        return ()


async def beats(mirror: StoreMirror, *agents: str) -> list[BaseException | None]:
    return await asyncio.gather(
        *(mirror.beat("default", each, T0, at(15)) for each in agents), return_exceptions=True
    )


async def test_beats_are_written_together_and_fail_together() -> None:
    store: Any = Slow()
    mirror = StoreMirror(View(), store, now=lambda: T0, new_mark=lambda: "m")
    first = asyncio.create_task(beats(mirror, "a"))
    while not store.calls:
        await asyncio.sleep(0)
    others = asyncio.create_task(beats(mirror, "b", "c", "d"))
    while len(mirror._beats.documents) < 3:
        await asyncio.sleep(0)
    store.let.set()
    assert await first == [None]
    assert await others == [None] * 3
    assert store.calls == [["a"], ["b", "c", "d"]]

    store.down = True
    assert all(isinstance(each, StoreUnreachable) for each in await beats(mirror, "e", "f"))
    store.down = False
    assert await beats(mirror, "e") == [None]
    assert store.calls[-1] == ["e"]
