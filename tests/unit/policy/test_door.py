"""The door: who is let in together, and that nobody is kept waiting for somebody who does not come."""

import asyncio
from itertools import count

import pytest

from services.policy.rpc.door import AT_ONCE, LONGEST_WAIT_SECONDS, PATIENCE_SECONDS, PAUSE_SECONDS, Door


class Visit:
    """Callers of one door: who was let in, in which order, and out when the test says so."""

    def __init__(self, door: Door) -> None:
        self.door = door
        self.inside: list[str] = []
        self.changed = asyncio.Condition()
        self._may_go: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    def come(self, *names: str) -> None:
        for name in names:
            self._may_go[name] = asyncio.Event()
            self.tasks[name] = asyncio.create_task(self._call(name))

    async def _call(self, name: str) -> None:
        async with self.door.turn():
            self.inside.append(name)
            async with self.changed:
                self.changed.notify_all()
            await self._may_go[name].wait()

    async def let_in(self, *names: str) -> None:
        """Wait until they are inside."""
        async with self.changed:
            await self.changed.wait_for(lambda: set(names) <= set(self.inside))

    async def go(self, *names: str) -> None:
        for name in names:
            self._may_go[name].set()
        await asyncio.gather(*(self.tasks[name] for name in names))

    async def been(self, *names: str) -> None:
        self.come(*names)
        await self.let_in(*names)
        await self.go(*names)


async def idle() -> None:
    """Whatever can be done without time passing is done."""
    for _ in range(8):
        await asyncio.sleep(0)


async def test_one_alone_is_let_in_at_once() -> None:
    door = Door()
    for _ in range(2):
        with pytest.raises(StopIteration) as entered:
            door.enter().send(None)  # without ever waiting
        entered.value.value.leave()


async def test_those_who_come_while_others_are_inside_are_let_in_together() -> None:
    visit = Visit(Door(lambda: 0.0))
    visit.come("a")
    await visit.let_in("a")
    visit.come("b", "c", "d")
    await idle()
    assert visit.inside == ["a"]
    await visit.go("a")
    visit.come("e")  # a's caller, back again
    await visit.let_in("b", "c", "d", "e")
    assert visit.inside == ["a", "b", "c", "d", "e"]
    await visit.go("b", "c", "d", "e")


async def test_those_who_were_answered_together_are_let_in_together_again() -> None:
    visit = Visit(Door(lambda: 0.0))
    await visit.been("first")
    visit.come("a")
    await visit.let_in("a")
    visit.come("b", "c")
    await idle()
    await visit.go("a")
    await visit.let_in("b", "c")  # a's caller has not come back
    await visit.go("b", "c")
    visit.come("d")
    await idle()
    assert "d" not in visit.inside
    visit.come("e")
    await visit.let_in("d", "e")
    await visit.go("d", "e")


async def two_inside_together(visit: Visit) -> None:
    visit.come("x")
    await visit.let_in("x")
    visit.come("a", "b")
    await idle()
    await visit.go("x")
    await visit.let_in("a", "b")


async def test_who_does_not_come_back_is_waited_for_once() -> None:
    visit = Visit(Door(lambda: 0.0))
    await two_inside_together(visit)
    await visit.go("a", "b")
    await visit.been("c")
    assert visit.door._expected == 1
    await visit.been("d")


async def test_a_pause_that_was_overslept_is_no_pause() -> None:
    looked, now = 0, 0.0

    def clock() -> float:
        nonlocal looked
        looked += 1
        return now

    visit = Visit(Door(clock))
    await two_inside_together(visit)
    await visit.go("a", "b")
    before = looked
    visit.come("c")
    while looked == before:
        await asyncio.sleep(0)
    now = 5 * PAUSE_SECONDS  # the pause has begun, and this is what the clock will say when it is over
    while looked < before + 3:  # over, and the next one begun
        await asyncio.sleep(0)
    assert "c" not in visit.inside
    visit.come("d")
    await visit.let_in("c", "d")
    await visit.go("c", "d")


async def test_nobody_is_waited_for_longer_than_30_ms() -> None:
    ticks = count()
    visit = Visit(Door(lambda: next(ticks) * LONGEST_WAIT_SECONDS / 7))  # every pause is overslept
    await two_inside_together(visit)
    await visit.go("a", "b")
    await visit.been("c")


async def test_a_party_that_takes_long_is_not_waited_for() -> None:
    now = 0.0
    visit = Visit(Door(lambda: now))
    visit.come("slow")
    await visit.let_in("slow")
    visit.come("a")
    await idle()
    assert visit.inside == ["slow"]
    now = PATIENCE_SECONDS
    await visit.let_in("a")
    visit.come("b", "c")
    await idle()
    await visit.go("slow")  # of a party that is no longer waited for
    assert visit.inside == ["slow", "a"]
    assert visit.door._expected == 1  # nor counted
    await visit.go("a")
    await visit.let_in("b", "c")
    await visit.go("b", "c")


async def test_many_are_one_party() -> None:
    visit = Visit(Door(lambda: 0.0))
    visit.come("first")
    await visit.let_in("first")
    many = [f"{n}" for n in range(2 * AT_ONCE + 1)]
    visit.come(*many)
    await idle()
    await visit.go("first")
    await visit.let_in(*many)
    assert visit.door._party.inside == len(many)
    await visit.go(*many)


async def test_who_goes_away_is_not_waited_for() -> None:
    """While it waits, at the moment it is let in, and inside."""
    visit = Visit(Door(lambda: 0.0))
    visit.come("a")
    await visit.let_in("a")
    visit.come("gone", "b")
    await idle()
    visit.tasks["gone"].cancel()
    await visit.go("a")
    await visit.let_in("b")
    visit.come("late", "c")
    await idle()
    waiting = list(visit.door._waiting)
    visit._may_go["b"].set()
    while not waiting[0].done():
        await asyncio.sleep(0)
    visit.tasks["late"].cancel()
    await visit.let_in("c")
    visit.come("d")
    await idle()
    visit.tasks["c"].cancel()
    await visit.let_in("d")
    assert visit.inside == ["a", "b", "c", "d"]
    await visit.go("d")
    assert visit.door._party.inside == 0


class Patient(Door):
    """Waits for news until there is some: nothing happens because time has passed."""

    companies = 0

    async def _company(self) -> None:
        self.companies += 1
        await super()._company()

    async def _news_within(self, seconds: float) -> bool:
        self._news.clear()
        async with asyncio.timeout(5):
            await self._news.wait()
        return True


async def test_the_last_who_leaves_and_the_last_who_comes_open_the_door() -> None:
    door = Patient(lambda: 0.0)
    visit = Visit(door)
    visit.come("a")
    await visit.let_in("a")
    visit.come("b")
    await idle()
    assert door.companies == 0
    await visit.go("a")
    await idle()
    assert (visit.inside, door.companies) == (["a"], 1)
    visit.come("c")
    await idle()
    assert visit.inside == ["a", "b", "c"]
    await visit.go("b", "c")


class Unsociable(Door):
    async def _company(self) -> None:
        raise AssertionError("somebody is waited for")


async def test_behind_a_party_that_takes_long_no_company_is_waited_for() -> None:
    now = 0.0
    visit = Visit(Unsociable(lambda: now))
    visit.come("x")
    await visit.let_in("x")
    visit.come("slow", "a")
    await idle()
    visit.door._expected = 0  # x does not come back
    await visit.go("x")
    await visit.let_in("slow", "a")
    await visit.go("a")
    visit.come("b")
    now = PATIENCE_SECONDS
    await visit.let_in("b")
    await visit.go("b", "slow")


async def test_who_goes_away_while_the_first_of_its_party_are_let_in_is_not_counted() -> None:
    door = Door(lambda: 0.0)
    first = await door.enter()

    async def call(then: asyncio.Task[None] | None = None) -> None:
        async with door.turn():
            if then is not None:
                then.cancel()

    last = asyncio.create_task(call())
    calls = [asyncio.create_task(call(last)), *(asyncio.create_task(call()) for _ in range(AT_ONCE))]
    await idle()
    door._waiting.append(door._waiting.pop(0))  # `last` is in the second handful
    first.leave()
    await asyncio.wait({last, *calls})
    assert last.cancelled()
    assert door._party.inside == 0
