"""What the log never said is wiped, at once and then ever more seldom."""

from itertools import pairwise
from typing import cast

import pytest

from services.state.domain.faults import StoreSpoiled, StoreUnreachable
from services.state.ports import Store
from services.state.reactor.mending import LONGEST_PAUSE_SECONDS, QUIET_SECONDS, Mending


class World:
    """A clock, and a store that counts how often it is wiped."""

    def __init__(self) -> None:
        self.now = 0.0
        self.wiped = 0
        self.away = False

    async def wipe(self) -> None:
        if self.away:
            raise StoreUnreachable
        self.wiped += 1


def mending(world: World) -> Mending:
    return Mending(cast(Store, world), lambda: world.now)


async def test_nothing_is_wiped_that_nobody_complained_of() -> None:
    world = World()
    assert not await mending(world).mend()
    assert world.wiped == 0


async def test_who_spoils_it_all_the_time_has_it_wiped_ever_more_seldom() -> None:
    world = World()
    made = mending(world)
    moments = []
    for _ in range(3000):
        made.notice(StoreSpoiled("a list"))
        try:
            assert await made.mend()
            moments.append(world.now)
        except StoreUnreachable:
            world.now += 0.25
    assert moments[:5] == [0.0, 1.0, 3.0, 7.0, 15.0]
    pauses = [after - before for before, after in pairwise(moments)]
    assert max(pauses) == pauses[-1] == LONGEST_PAUSE_SECONDS
    assert world.wiped == made.times == len(moments) < 20
    world.now += QUIET_SECONDS
    for _ in range(2):
        made.notice(StoreSpoiled("a list"))
        assert await made.mend(), "after a long time as in the beginning"
        world.now += 1.0


async def test_a_wipe_that_failed_is_tried_again_and_what_was_filled_meanwhile_is_left() -> None:
    world = World()
    made = mending(world)
    made.notice(StoreSpoiled("a list"))
    world.away = True
    with pytest.raises(StoreUnreachable):
        await made.mend()
    world.away = False
    assert await made.mend()
    made.notice(StoreSpoiled("a list"))
    made.filled()
    assert not await made.mend()
