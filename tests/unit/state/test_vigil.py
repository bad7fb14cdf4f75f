"""Who is found stuck, who is not, and that the log says so once: over the log in memory, under a clock of its own."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest

from chassis.eventlog.memory import MemoryLog
from kernel.events import Cause
from kernel.faults import Fault, Unavailable
from services.state.adapters import SequencingLog, aggregates_over
from services.state.domain.agent import Agent
from services.state.domain.attention import AgentStuck, AgentUnstuck, AgentWaits, Waiting, WaitingKind
from services.state.domain.errors import RecordError
from services.state.domain.lock import AcquireLock, Advance, ForceReleaseLock, ReleaseLock
from services.state.domain.packet import IssuePacket
from services.state.domain.plain import iso
from services.state.domain.stuck import Kind
from services.state.domain.view import Part, Place, View
from services.state.handlers import Activity, Turns, Vigil
from services.state.handlers.attention import Attention
from services.state.handlers.writing import Writing
from services.state.reactor import Judging
from services.state.wire import CODEC
from tests.unit.state.worlds import T0, packet

PATIENCE = 30.0


@dataclass
class Moved:
    """The time, as the test wants it."""

    seconds: float = 0.0
    set_by: float = 0.0
    """How far the wall clock was set off."""
    asked: int = 0
    """How often it was looked at by who measures how long something took."""

    def now(self) -> datetime:
        return T0 + timedelta(seconds=self.seconds + self.set_by)

    def monotonic(self) -> float:
        self.asked += 1
        return 1000.0 + self.seconds


@dataclass
class Shared:
    """As much of the store as several processes leave each other."""

    kept: dict[tuple[str, Part], str] = field(default_factory=dict)
    down: bool = False

    async def read(self, places: Sequence[Place]) -> Sequence[str | None]:
        if self.down:
            raise Unavailable("STORE_UNREACHABLE", "the store does not answer")
        return [self.kept.get((place.id, place.part)) for place in places]

    async def heartbeat(self, tenant: str, agent_id: str) -> str | None:
        raise AssertionError("who judges looks for itself")

    async def beat(
        self, tenant: str, agent_id: str, at: datetime, expire_time: datetime, *, active: bool = False
    ) -> None:
        if self.down:
            raise Unavailable("STORE_UNREACHABLE", "the store does not answer")
        for part in (Part.HEARTBEAT, Part.ACTIVITY)[: 1 + active]:
            self.kept[agent_id, part] = iso(at)


class Replica:
    """One process's worth of watching over a log that others may write to."""

    def __init__(self, log: MemoryLog, clock: Moved, store: Shared) -> None:
        self.log, self.clock, self.patience = log, clock, PATIENCE
        self.kept, self._every = aggregates_over(SequencingLog(log), CODEC)
        self.vigil = Vigil(self.kept, store, clock, lambda _: self.patience)
        self._attention = Attention(self.kept, None, store, self.vigil, Writing(View()))  # type: ignore[arg-type]
        self._told = 0
        self._asked = 0

    async def begin(self) -> "Replica":
        await self.follow()
        self.vigil.begin()
        return self

    async def follow(self) -> None:
        events = self.log.recorded()[self._told :]
        self._told += len(events)
        for each in self._every:
            await each.take(events)
        for event in events:
            self.vigil.told("default", CODEC.decode(event).event)

    async def does(self, command: Any) -> None:
        await self.kept.agents.handle("sre-1", command, self.cause())
        await self.follow()

    async def at_work(self) -> int:
        """The token."""
        await self.does(IssuePacket(packet(), self.clock.now()))
        await self.does(AcquireLock("sre-1", "task-1", "run-1", 600, self.clock.now()))
        lock = self.agent.lock
        assert lock is not None
        return lock.fencing_token

    async def advance(self, token: int, phase: str) -> None:
        at = self.clock.now()
        await self.does(Advance("sre-1", "task-1", "run-1", phase, "", token, 600, "service:x", at))

    async def reports(
        self,
        action: str = "",
        result: str = "",
        waiting: Waiting | None = None,
        run_id: str = "run-1",
        token: int = 0,
    ) -> None:
        said = Activity("sre-1", "task-1", run_id, action, result, waiting, token)
        await self._attention.report(said, self.cause())
        await self.follow()

    async def judges(self) -> None:
        await self.vigil.judge()
        await self.follow()

    def cause(self) -> Cause:
        self._asked += 1
        return Cause("default", f"r-{id(self)}-{self._asked}", "service:test", self.clock.now())

    @property
    def agent(self) -> Agent:
        return self.kept.agents.current("default", "sre-1")

    def said(self, kind: type) -> list[Any]:
        events = [CODEC.decode(each).event for each in self.log.recorded()]
        return [event for event in events if isinstance(event, kind)]


@pytest.fixture
def clock() -> Moved:
    return Moved()


@pytest.fixture
def store() -> Shared:
    return Shared()


@pytest.fixture
def replica(clock: Moved, store: Shared) -> Replica:
    return Replica(MemoryLog(CODEC), clock, store)


def kind(replica: Replica) -> Kind | None:
    return replica.agent.found.stuck.kind if replica.agent.found else None


def waits(replica: Replica) -> str:
    found = replica.agent.waits
    return found.waiting.what if found and found.waiting else ""


def waiting(clock: Moved, kind: WaitingKind = WaitingKind.APPROVAL, seconds: float | None = None) -> Waiting:
    until = clock.now() + timedelta(seconds=seconds) if seconds else None
    return Waiting(kind, "approval-1", clock.now(), until)


async def test_who_holds_its_lock_and_gives_no_sign_is_stuck_once_and_unstuck_once(
    replica: Replica, clock: Moved
) -> None:
    token = await (await replica.begin()).at_work()
    for clock.seconds in range(31):
        await replica.judges()
    assert kind(replica) is None
    for clock.seconds in range(31, 90):
        await replica.judges()
    (stuck,) = replica.said(AgentStuck)
    assert (stuck.task_id, stuck.stuck.kind, stuck.stuck.since) == ("task-1", Kind.NO_HEARTBEAT, T0)
    await replica.advance(token, "VERIFY")
    await replica.judges()
    await replica.judges()
    assert len(replica.said(AgentUnstuck)) == 1
    assert kind(replica) is None
    clock.seconds += 31
    await replica.judges()
    assert len(replica.said(AgentStuck)) == 2, "another time is another event"


async def test_it_is_the_run_that_holds_the_lock_that_is_stuck(replica: Replica, clock: Moved) -> None:
    token = await (await replica.begin()).at_work()
    await replica.advance(token, "PLAN")
    await replica.does(ReleaseLock("sre-1", "task-1", "run-1", token, "service:x", clock.now()))
    await replica.does(AcquireLock("sre-1", "task-1", "run-2", 600, clock.now()))
    clock.seconds = PATIENCE + 1
    await replica.judges()
    assert [each.run_id for each in replica.said(AgentStuck)] == ["run-2"]
    assert replica.log.recorded()[-1].headers["ce-correlationid"] == "run-2"


async def test_who_renews_its_lease_where_it_stands_gets_nowhere(replica: Replica, clock: Moved) -> None:
    token = await (await replica.begin()).at_work()
    for clock.seconds in range(0, 50, 5):
        await replica.advance(token, "PLAN")
        await replica.judges()
    assert kind(replica) is Kind.NO_PROGRESS


async def test_who_moves_on_is_not_stuck(replica: Replica, clock: Moved) -> None:
    token = await (await replica.begin()).at_work()
    for clock.seconds in range(0, 200, 20):
        await replica.advance(token, f"P{clock.seconds}")
        await replica.judges()
    assert replica.said(AgentStuck) == []


async def test_who_goes_back_and_forth_with_the_same_outcome_is_stuck(replica: Replica, clock: Moved) -> None:
    token = await (await replica.begin()).at_work()
    for clock.seconds in range(40):
        await replica.advance(token, ("TRY", "CHECK")[int(clock.seconds) % 2])
        await replica.reports("deploy", "refused")
        await replica.judges()
    assert kind(replica) is Kind.REPETITION
    await replica.advance(token, "ASK")
    await replica.judges()
    assert kind(replica) is None


@pytest.mark.parametrize("what", [WaitingKind.MESSAGE, WaitingKind.LOCK, WaitingKind.GATE])
async def test_who_only_ever_begins_to_wait_and_ends_it_is_stuck(
    replica: Replica, clock: Moved, what: WaitingKind
) -> None:
    await (await replica.begin()).at_work()
    for clock.seconds in range(100):
        await replica.reports("deploy", "refused", waiting(clock, what) if clock.seconds % 2 else None)
        await replica.judges()
    assert Kind.REPETITION in {each.stuck.kind for each in replica.said(AgentStuck)}


@pytest.mark.parametrize("what", [WaitingKind.MESSAGE, WaitingKind.LOCK])
@pytest.mark.parametrize("beats", [True, False])
async def test_who_waits_without_an_end_for_another_agent_is_stuck_after_all_its_patience(
    replica: Replica, clock: Moved, store: Shared, what: WaitingKind, beats: bool
) -> None:
    await (await replica.begin()).at_work()
    await replica.reports(waiting=waiting(clock, what))
    again = await Replica(replica.log, clock, store).begin()
    for clock.seconds in range(1, 40):
        if beats:
            await replica.reports(waiting=waiting(clock, what))
            again.vigil.beat("default", "sre-1")
        await replica.judges()
        await again.follow()
        await again.judges()
        assert (kind(replica) is None) is (clock.seconds <= PATIENCE)
    (stuck,) = replica.said(AgentStuck)
    assert stuck.stuck.kind is (Kind.NO_PROGRESS if beats else Kind.NO_HEARTBEAT)
    assert beats is (f"waits for {what} approval-1" in stuck.stuck.evidence)
    await replica.reports()
    await replica.judges()
    assert kind(replica) is None, "it has come"


@pytest.mark.parametrize("what", [WaitingKind.MESSAGE, WaitingKind.LOCK])
async def test_who_says_until_when_it_waits_for_another_agent_is_not_stuck_before(
    replica: Replica, clock: Moved, what: WaitingKind
) -> None:
    await (await replica.begin()).at_work()
    until = waiting(clock, what, 300)
    for clock.seconds in range(0, 300, 10):
        await replica.reports(waiting=until)
        await replica.judges()
    assert replica.said(AgentStuck) == []


async def test_the_same_report_again_and_again_is_a_repetition_and_no_event_until_it_is_found(
    replica: Replica, clock: Moved
) -> None:
    await (await replica.begin()).at_work()
    before = await replica.log.last_sequence()
    for clock.seconds in range(0, 30, 3):
        await replica.reports("deploy", "refused")
        await replica.judges()
    assert await replica.log.last_sequence() == before
    for clock.seconds in range(30, 60, 3):
        await replica.reports("deploy", "refused")
        await replica.judges()
    assert kind(replica) is Kind.REPETITION
    assert "'deploy'" in replica.said(AgentStuck)[0].stuck.evidence


@pytest.mark.parametrize("let_go", [True, False])
async def test_who_waits_for_an_approval_is_not_stuck_and_one_event_says_so(
    replica: Replica, clock: Moved, let_go: bool
) -> None:
    token = await (await replica.begin()).at_work()
    if let_go:
        await replica.does(ReleaseLock("sre-1", "task-1", "run-1", token, "x", clock.now()))
    for clock.seconds in range(0, 3600, 60):
        await replica.reports(waiting=waiting(clock))
        await replica.judges()
    assert replica.said(AgentStuck) == []
    assert len(replica.said(AgentWaits)) == 1
    assert waits(replica) == "approval-1"
    await replica.reports("went on", "ok")
    assert waits(replica) == ""
    assert len(replica.said(AgentWaits)) == 2


async def test_taking_the_lock_again_ends_the_waiting(replica: Replica, clock: Moved) -> None:
    token = await (await replica.begin()).at_work()
    await replica.does(ReleaseLock("sre-1", "task-1", "run-1", token, "x", clock.now()))
    await replica.reports(waiting=waiting(clock))
    await replica.does(AcquireLock("sre-1", "task-1", "run-1", 600, clock.now()))
    assert replica.agent.waits is None
    assert len(replica.said(AgentWaits)) == 1


async def test_another_run_does_not_end_the_waiting_of_this_one(replica: Replica, clock: Moved) -> None:
    token = await (await replica.begin()).at_work()
    await replica.reports(waiting=waiting(clock))
    with pytest.raises(Fault) as caught:
        await replica.reports(run_id="run-2")
    assert caught.value.reason == "FENCING_TOKEN_STALE"
    await replica.does(ReleaseLock("sre-1", "task-1", "run-1", token, "x", clock.now()))
    await replica.reports(waiting=waiting(clock))
    await replica.reports(run_id="run-2")
    assert replica.agent.waits is not None


@pytest.mark.parametrize("shows_its_token", [True, False])
async def test_a_run_that_lost_its_lock_hides_nothing_of_the_one_that_has_it(
    replica: Replica, clock: Moved, store: Shared, shows_its_token: bool
) -> None:
    old = await (await replica.begin()).at_work()
    clock.seconds = 600
    await replica.does(AcquireLock("sre-1", "task-1", "run-2", 600, clock.now()))
    for clock.seconds in range(600, 632):
        with pytest.raises(Fault) as caught:
            await replica.reports(
                "read", f"page {clock.seconds}", waiting(clock), token=old if shows_its_token else 0
            )
        assert caught.value.reason == "FENCING_TOKEN_STALE"
        await replica.does(
            RecordError("sre-1", "task-1", "run-1", f"E{clock.seconds}", "", False, clock.now())
        )
        await replica.judges()
    assert waits(replica) == ""
    assert store.kept == {}, "no other process takes it for a sign of life either"
    assert kind(replica) is Kind.NO_HEARTBEAT


async def test_a_run_that_ends_its_wait_while_another_has_the_agent_is_no_sign_of_that_one(
    replica: Replica, clock: Moved, store: Shared
) -> None:
    old = await (await replica.begin()).at_work()
    await replica.reports(waiting=waiting(clock))
    await replica.does(ReleaseLock("sre-1", "task-1", "run-1", old, "x", clock.now()))
    await replica.reports(waiting=waiting(clock), token=old)
    await replica.does(AcquireLock("sre-1", "task-1", "run-2", 600, clock.now()))
    store.kept.clear()
    clock.seconds = PATIENCE - 1
    await replica.reports(token=old)
    assert [each.waiting for each in replica.said(AgentWaits)][-1] is None
    assert store.kept == {}
    with pytest.raises(Fault) as caught:
        await replica.reports("read", "page 1", token=old)
    assert caught.value.reason == "FENCING_TOKEN_STALE"
    clock.seconds = PATIENCE + 1
    await replica.judges()
    assert kind(replica) is Kind.NO_HEARTBEAT


async def test_a_declared_poll_is_not_stuck_before_its_end_and_a_long_one_costs_few_events(
    replica: Replica, clock: Moved
) -> None:
    await (await replica.begin()).at_work()
    for clock.seconds in range(0, 600, 5):
        await replica.reports("poll", "pending", waiting(clock, WaitingKind.POLL, 60))
        await replica.judges()
    assert replica.said(AgentStuck) == []
    assert len(replica.said(AgentWaits)) <= 600 / 30 + 1
    for clock.seconds in range(600, 700, 5):
        await replica.judges()
    assert kind(replica) is Kind.NO_HEARTBEAT


@pytest.mark.parametrize("seconds", [None, -1, 86401])
async def test_a_poll_without_an_end_in_sight_is_refused(
    replica: Replica, clock: Moved, seconds: float | None
) -> None:
    await (await replica.begin()).at_work()
    with pytest.raises(Fault) as caught:
        await replica.reports(waiting=waiting(clock, WaitingKind.POLL, seconds))
    assert caught.value.facts["field"] == "waiting.until"


@pytest.mark.parametrize("how", ["released", "forced"])
async def test_who_has_left_its_lock_is_not_watched(replica: Replica, clock: Moved, how: str) -> None:
    token = await (await replica.begin()).at_work()
    clock.seconds = 40
    await replica.judges()
    assert kind(replica) is Kind.NO_HEARTBEAT
    await replica.does(
        ReleaseLock("sre-1", "task-1", "run-1", token, "x", clock.now())
        if how == "released"
        else ForceReleaseLock("sre-1", "it hangs", "key:ops", clock.now())
    )
    assert kind(replica) is None
    clock.seconds = 4000
    await replica.judges()
    assert len(replica.said(AgentStuck)) == 1


async def test_after_a_start_everybody_has_all_the_patience_there_is(
    replica: Replica, clock: Moved, store: Shared
) -> None:
    await (await replica.begin()).at_work()
    clock.seconds = 4000
    again = await Replica(replica.log, clock, store).begin()
    for clock.seconds in range(4000, 4031):
        await again.judges()
    assert again.said(AgentStuck) == []
    clock.seconds = 4031
    await again.judges()
    assert kind(again) is Kind.NO_HEARTBEAT


async def test_after_a_while_in_which_the_process_was_stopped_everybody_has_it_again(
    replica: Replica, clock: Moved, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by SIGSTOP: what was said to it meanwhile it has yet to hear."""
    monkeypatch.setattr("services.state.reactor.judging.JUDGE_SECONDS", 0.001)
    await (await replica.begin()).at_work()
    judging = Judging(replica.vigil, Turns(), clock)

    async def some_rounds() -> None:
        until = clock.asked + 20
        while clock.asked < until or any(each.get_name() == "round" for each in asyncio.all_tasks()):
            await asyncio.sleep(0)
            await replica.follow()

    async with judging.at_work():
        await some_rounds()
        clock.seconds = 4000  # while it rests between two rounds
        await some_rounds()
        assert replica.said(AgentStuck) == []
        for clock.seconds in range(4000, 4032):
            await some_rounds()
    assert kind(replica) is Kind.NO_HEARTBEAT


async def test_a_process_that_is_only_a_little_late_gives_nobody_more_patience(
    replica: Replica, clock: Moved
) -> None:
    await (await replica.begin()).at_work()
    for clock.seconds in range(0, 35, 7):
        replica.vigil.heard_nothing(PATIENCE / 4)
    clock.seconds = 31
    await replica.judges()
    assert kind(replica) is Kind.NO_HEARTBEAT


async def test_who_was_stuck_before_a_start_stays_so_until_there_is_news(
    replica: Replica, clock: Moved, store: Shared
) -> None:
    token = await (await replica.begin()).at_work()
    clock.seconds = 40
    await replica.judges()
    again = await Replica(replica.log, clock, store).begin()
    for clock.seconds in range(40, 100, 3):
        await again.judges()
    assert len(again.said(AgentStuck)) == 1
    assert again.said(AgentUnstuck) == []
    await again.advance(token, "VERIFY")
    await again.judges()
    assert len(again.said(AgentUnstuck)) == 1


async def test_a_wall_clock_that_is_set_makes_nobody_stuck(replica: Replica, clock: Moved) -> None:
    await (await replica.begin()).at_work()
    for clock.set_by in (600.0, -600.0):
        await replica.judges()
    assert replica.said(AgentStuck) == []


async def test_of_several_processes_one_says_it_and_they_do_not_argue(
    replica: Replica, clock: Moved, store: Shared
) -> None:
    one = await replica.begin()
    other = await Replica(replica.log, clock, store).begin()
    token = await one.at_work()
    await other.follow()
    for clock.seconds in range(60):
        judging = asyncio.gather(one.vigil.judge(), other.vigil.judge())
        while not judging.done():
            await asyncio.sleep(0)
            await one.follow()
            await other.follow()
        await judging
    assert len(one.said(AgentStuck)) == 1
    assert one.said(AgentUnstuck) == []
    await one.advance(token, "VERIFY")
    await other.follow()
    await one.judges()
    await other.follow()
    await other.judges()
    assert len(one.said(AgentUnstuck)) == 1


async def test_a_replica_that_was_cut_off_from_the_log_finds_nobody_stuck_who_went_on(
    replica: Replica, clock: Moved, store: Shared
) -> None:
    hears = await replica.begin()
    cut_off = await Replica(replica.log, clock, store).begin()
    token = await hears.at_work()
    await cut_off.follow()
    for clock.seconds in range(0, 40, 5):
        await hears.advance(token, f"PHASE_{clock.seconds}")
    judging = asyncio.create_task(cut_off.vigil.judge())
    while not judging.done():
        await asyncio.sleep(0)
        await cut_off.follow()  # it hears of them when its judgement has met them in the log
    await judging
    assert hears.said(AgentStuck) == []
    for clock.seconds in range(40, 80, 5):
        await cut_off.judges()
    assert len(hears.said(AgentStuck)) == 1


@pytest.mark.parametrize("set_by", [0.0, -0.3, 0.3])
async def test_what_another_process_heard_speaks_for_the_agent(
    replica: Replica, clock: Moved, store: Shared, set_by: float
) -> None:
    """Also by a clock that is not quite the other's."""
    hears = await replica.begin()
    other = Moved(set_by=set_by)
    deaf = await Replica(replica.log, other, store).begin()
    await hears.at_work()
    await deaf.follow()
    for clock.seconds in range(0, 100, 5):
        other.seconds = clock.seconds
        await hears.reports("read", f"page {clock.seconds}")
        await deaf.judges()
    assert deaf.said(AgentStuck) == []
    for other.seconds in range(100, 200, 5):
        await deaf.judges()
    assert len(deaf.said(AgentStuck)) == 1, "heard once is not heard for ever"


async def test_nobody_is_found_stuck_while_the_store_cannot_speak_for_them(
    replica: Replica, clock: Moved, store: Shared
) -> None:
    await (await replica.begin()).at_work()
    clock.seconds, store.down = 40, True
    with pytest.raises(Unavailable):
        await replica.judges()
    await replica.reports("read", "page 1")  # a report does not need the store
    assert replica.said(AgentStuck) == []


async def test_another_patience_counts_from_the_next_judgement_on(replica: Replica, clock: Moved) -> None:
    await (await replica.begin()).at_work()
    clock.seconds = 20
    await replica.judges()
    assert kind(replica) is None
    replica.patience = 10.0
    await replica.judges()
    assert kind(replica) is Kind.NO_HEARTBEAT
    assert replica.vigil.shortest_patience_seconds == 10.0
    replica.patience = 120.0
    await replica.judges()
    assert kind(replica) is None
    assert len(replica.said(AgentUnstuck)) == 1
