"""One holder per lock, told by its token: over every log, whatever happens to the store, the clock and the replicas."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from kernel.faults import Fault
from services.state.domain.lock import AcquireLock, Advance, ForceReleaseLock, ReleaseLock
from services.state.domain.packet import IssuePacket
from services.state.domain.snapshot import HeldLock
from services.state.handlers import Standing
from tests.contract.state.house import House, Replica, patiently
from tests.fakes.wait import until
from tests.unit.state.worlds import at, packet

T = TypeVar("T")
HOLDERS = ("a", "b", "c", "d", "e")
LEASES = st.integers(10, 40)
WHICH = st.integers(0, 1)
SECONDS = 15.0


@dataclass
class Waiter:
    which: int
    holder: str
    lease: int
    task: "asyncio.Task[Standing]"


class Contention(RuleBasedStateMachine):
    """Holders that ask, wait, come back late and are thrown out, at either of two replicas."""

    def __init__(self, house: House) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.house = house
        self.tokens: dict[str, int] = {}
        self.waiting: list[Waiter] = []
        self.holder = ""
        self.newest = 0
        self.expires = 0.0
        self.open = False
        self.forced = False
        self.refusals = 0
        self.reached = 0
        self.run(house.open())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def teardown(self) -> None:
        try:
            for waiter in list(self.waiting):
                self.goes_away(waiter)
            agent = self.run(self.replica(0)).kept.agents.current(self.house.tenant, "sre-1")
            assert len(agent.refusals) == self.refusals, "a refusal was not recorded"
            for which in (0, 1):
                assert self.run(self.replica(which)).turns.holders((self.house.tenant, "sre-1")) == ()
            verdict = self.run(patiently(self.house.replicas[0].audit.verify))
            assert verdict.equal, verdict.differing_keys
        finally:
            self.run(self.house.close())
            self.runner.close()

    @property
    def held(self) -> bool:
        return self.open and self.house.clock.moment < self.expires

    async def replica(self, which: int) -> Replica:
        """That has heard of everything that was answered."""
        found = self.house.replicas[which]
        await found.follower.reached(self.reached)
        return found

    def acquire(self, holder: str, lease: int) -> AcquireLock:
        return AcquireLock("sre-1", "task-1", holder, lease, self.house.clock.now())

    def got(self, holder: str, lease: int, standing: Standing) -> None:
        lock = standing.lock
        assert lock is not None
        assert lock.holder == holder
        assert lock.fencing_token > self.newest, "a token went back, or is another's"
        assert lock.expire_time == at(self.house.clock.moment + lease)
        self.newest = self.tokens[holder] = lock.fencing_token
        self.holder, self.expires = holder, self.house.clock.moment + lease
        self.open, self.forced = True, False
        self.heard(standing.sequence)

    def heard(self, sequence: int) -> None:
        self.reached = max(self.reached, sequence)

    def refused(self, work: Coroutine[Any, Any, Any], reason: str) -> None:
        with pytest.raises(Fault) as caught:
            self.run(work)
        assert caught.value.reason == reason

    def stale(self, work: Coroutine[Any, Any, Any]) -> None:
        self.refused(work, "FENCING_TOKEN_STALE")
        self.refusals += 1
        sequence = max(
            replica.kept.agents.current(self.house.tenant, "sre-1").sequence
            for replica in self.house.replicas
        )
        self.heard(sequence)

    def settle(self) -> None:
        """A lock that is free goes to one of those who are first in their line, until it is held."""
        for replica in self.house.replicas:
            # What moves a clock tells nobody; a second later it would have been noticed by itself.
            replica.turns.changed((self.house.tenant, "sre-1"))
        while self.waiting and not self.held:
            first = {min(i for i, w in enumerate(self.waiting) if w.which == which) for which in self.lines()}
            tasks = {waiter.task for waiter in self.waiting}
            done, _ = self.run(_wait(tasks))
            assert done, "the lock is free, and nobody who waits gets it"
            assert len(done) == 1, "two hold the lock"
            (turn,) = [i for i, waiter in enumerate(self.waiting) if waiter.task in done]
            assert turn in first, "somebody went before those who had asked earlier"
            waiter = self.waiting.pop(turn)
            self.got(waiter.holder, waiter.lease, waiter.task.result())

    def lines(self) -> set[int]:
        return {waiter.which for waiter in self.waiting}

    def goes_away(self, waiter: Waiter) -> None:
        self.waiting.remove(waiter)
        waiter.task.cancel()
        self.run(_wait({waiter.task}))
        assert waiter.task.cancelled()

    @initialize()
    def has_a_packet(self) -> None:
        command = IssuePacket(packet(), self.house.clock.now())
        kept = self.house.replicas[0].kept
        appended = self.run(kept.agents.handle("sre-1", command, self.house.cause()))
        self.heard(appended.sequence)

    @rule(seconds=st.floats(0, 60))
    def time_passes(self, seconds: float) -> None:
        self.house.clock.moment += seconds
        self.settle()

    @rule(which=WHICH, holder=st.sampled_from(HOLDERS), lease=LEASES)
    def acquires(self, which: int, holder: str, lease: int) -> None:
        locks = self.run(self.replica(which)).locks
        if any(waiter.holder == holder for waiter in self.waiting):
            return
        asking: Coroutine[Any, Any, Standing] = locks.acquire(
            self.acquire(holder, lease), 0, self.house.cause()
        )
        if self.held and holder != self.holder:
            self.refused(asking, "CANNOT_ACQUIRE_LOCK")
            return
        if not self.held:
            self.got(holder, lease, self.run(asking))
            return
        lock = self.run(asking).lock
        assert lock is not None
        assert lock.fencing_token == self.newest, "the holder was given another token"

    @precondition(lambda self: not self.held)
    @rule(pair=st.permutations(HOLDERS), lease=LEASES)
    def race(self, pair: list[str], lease: int) -> None:
        replicas = [self.run(self.replica(which)) for which in (0, 1)]
        asking = [
            replica.locks.acquire(self.acquire(holder, lease), 0, self.house.cause())
            for replica, holder in zip(replicas, pair, strict=False)
        ]
        answers = self.run(_all(asking))
        won = [which for which, answer in enumerate(answers) if isinstance(answer, Standing)]
        assert len(won) == 1, f"{answers}"
        lost = answers[1 - won[0]]
        assert isinstance(lost, Fault)
        assert lost.reason == "CANNOT_ACQUIRE_LOCK"
        winner = answers[won[0]]
        assert isinstance(winner, Standing)
        self.got(pair[won[0]], lease, winner)
        # Who won is chance, and what follows must not hang on it: an example has to come out the same each time.
        for holder in pair:
            self.tokens.pop(holder, None)
        self.forces(won[0])

    @precondition(lambda self: self.held and len(self.waiting) < 4)
    @rule(which=WHICH, holder=st.sampled_from(HOLDERS), lease=LEASES)
    def waits(self, which: int, holder: str, lease: int) -> None:
        if holder == self.holder or any(waiter.holder == holder for waiter in self.waiting):
            return
        # One line: of the first in two lines either may be next, and an example has to come out the same each time.
        self.run(self._waits(self.waiting[0].which if self.waiting else which, holder, lease))

    async def _waits(self, which: int, holder: str, lease: int) -> None:
        replica = await self.replica(which)
        asking = replica.locks.acquire(self.acquire(holder, lease), 300, self.house.cause())
        self.waiting.append(Waiter(which, holder, lease, asyncio.create_task(asking)))
        line = tuple(waiter.holder for waiter in self.waiting if waiter.which == which)
        await until(
            lambda: replica.turns.holders((self.house.tenant, "sre-1")) == line, f"not {line} wait", SECONDS
        )

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def gives_up(self, data: st.DataObject) -> None:
        self.goes_away(data.draw(st.sampled_from(self.waiting)))

    @precondition(lambda self: self.tokens)
    @rule(data=st.data(), which=WHICH, lease=LEASES)
    def advances(self, data: st.DataObject, which: int, lease: int) -> None:
        holder = data.draw(st.sampled_from(sorted(self.tokens)))
        command = Advance(
            "sre-1",
            "task-1",
            holder,
            "PLAN",
            "",
            self.tokens[holder],
            lease,
            "service:test",
            self.house.clock.now(),
        )
        moving = self.run(self.replica(which)).locks.advance(command, self.house.cause())
        if not self.open or self.tokens[holder] != self.newest:
            self.stale(moving)
            return
        self.heard(self.run(moving).sequence)
        self.expires = self.house.clock.moment + lease

    @precondition(lambda self: self.tokens)
    @rule(data=st.data(), which=WHICH)
    def releases(self, data: st.DataObject, which: int) -> None:
        holder = data.draw(st.sampled_from(sorted(self.tokens)))
        command = ReleaseLock(
            "sre-1", "task-1", holder, self.tokens[holder], "service:test", self.house.clock.now()
        )
        releasing = self.run(self.replica(which)).locks.release(command, self.house.cause())
        if self.tokens[holder] != self.newest or self.forced:
            self.stale(releasing)
            return
        self.heard(self.run(releasing).sequence)
        self.open = False
        self.settle()

    @rule(which=WHICH)
    def forces(self, which: int) -> None:
        command = ForceReleaseLock("sre-1", "it hangs", "key:ops", self.house.clock.now())
        forcing = self.run(self.replica(which)).locks.force(command, self.house.cause())
        if not self.open:
            self.refused(forcing, "LOCK_NOT_HELD")
            return
        self.heard(self.run(forcing).sequence)
        self.open, self.forced = False, True
        self.settle()

    @rule()
    def the_store_is_emptied(self) -> None:
        self.run(self._flush())

    async def _flush(self) -> None:
        await self.house.store.flushall()

    @invariant()
    def both_replicas_say_who_holds_it(self) -> None:
        if not self.reached:
            return
        for which in (0, 1):
            lock = self.run(self._lock_by(which))
            if self.held:
                assert lock is not None
                assert (lock.holder, lock.fencing_token) == (self.holder, self.newest)
            else:
                assert lock is None

    async def _lock_by(self, which: int) -> HeldLock | None:
        agents = (await self.replica(which)).agents
        agent = await patiently(lambda: agents.get_agent_state("sre-1", self.reached, self.house.cause()))
        return agent.lock


async def _wait(
    tasks: set["asyncio.Task[Standing]"],
) -> tuple[set["asyncio.Task[Standing]"], set["asyncio.Task[Standing]"]]:
    return await asyncio.wait(tasks, timeout=SECONDS, return_when=asyncio.FIRST_COMPLETED)


async def _all(asking: list[Coroutine[Any, Any, Standing]]) -> list[Standing | BaseException]:
    return await asyncio.gather(*asking, return_exceptions=True)


@pytest.mark.timeout(300)
def test_one_holder_per_lock_told_by_its_token(houses: tuple[str, Callable[[], House]]) -> None:
    log, house = houses

    class OverThisLog(Contention):
        def __init__(self) -> None:
            super().__init__(house())

    run_state_machine_as_test(
        OverThisLog,
        settings=settings(
            max_examples=50 if log == "memory" else 20,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
