"""Budgets drawn on by two replicas over one log: never overspent, nothing twice, whatever is lost on the way."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chassis.eventlog.aggregates import HeldAggregates
from chassis.eventlog.follower import Follower
from chassis.eventlog.memory import MemoryLog
from kernel.events import Cause, Recorded
from kernel.faults import Exhausted, Fault, Unavailable
from services.policy.adapters.budget_lane import BudgetLane
from services.policy.domain.amounts import NOTHING, Amounts, Unit
from services.policy.domain.budget import BUDGET, BudgetReserved, Budgets
from services.policy.domain.budget_events import Want
from services.policy.domain.budget_faults import ClockWrong
from services.policy.domain.closing import Closing, ReservationsClosed
from services.policy.domain.counters import Key
from services.policy.domain.decision import DecisionRecord, DecisionsMade, Verdict
from services.policy.domain.drawing import BudgetRefusal, Draw
from services.policy.domain.limits import BudgetSet, Limit
from services.policy.domain.reservation import BudgetScope, Reservation, ReservationEnd
from services.policy.wire import CODEC
from services.policy.wire.budgets import BUDGET_CODEC
from tests.unit.policy.purses import draw, rule, settle
from tests.unit.policy.test_group_commit import record
from tests.unit.policy.words import AT

CAUSE = Cause("default", "r", "service:x", AT, "run-1")
FIVE = rule({Unit.ACTIONS: 5})
DAILY = Key("set.daily", BudgetScope.AGENT, "sre-1", 0)


@dataclass
class Replica:
    lane: BudgetLane
    follower: Follower

    @property
    def budgets(self) -> Budgets:
        return self.lane.current("default")

    async def decide(self, *ids: str, cause: Cause = CAUSE) -> Sequence[tuple[DecisionRecord, bool]]:
        drawn, _ = await self.lane.decide([want(each) for each in ids], cause)
        return [(each.record, each.reservation is not None) for each in drawn]


def want(decision_id: str, made: Draw | None = None) -> Want:
    allowed = record(decision_id)
    asked = made or draw(f"d-{decision_id}", FIVE, decision_id=decision_id)

    def refused(refusal: BudgetRefusal) -> DecisionRecord:
        return replace(
            allowed,
            decision_id=f"no-{decision_id}",
            verdict=Verdict.DENY,
            reason="BUDGET_SPENT",
            explanation=refusal.text,
        )

    return Want(allowed, asked, refused)


async def log_time() -> datetime:
    return AT


@asynccontextmanager
async def replicas(log: MemoryLog, n: int = 2) -> AsyncIterator[list[Replica]]:
    made = []
    for number in range(n):
        held = HeldAggregates(BUDGET, log, BUDGET_CODEC)
        follower = Follower(log, held.filters, 0, held.take, f"policy-{number}")
        await follower.start()
        made.append(Replica(BudgetLane(held, follower, log_time), follower))
    for each in made:
        await each.follower.caught_up()
    try:
        yield made
    finally:
        for each in made:
            await each.lane.stop()
            await each.follower.stop()


def folded(log: MemoryLog) -> Budgets:
    """What the log says, from the beginning."""
    return BUDGET.fold(BUDGET_CODEC.decode(each) for each in log.recorded())  # type: ignore[misc]


def decisions(log: MemoryLog) -> list[DecisionRecord]:
    events = [CODEC.decode(each) for each in log.recorded()]
    return [one for each in events if isinstance(each, DecisionsMade) for one in each.decisions]


async def test_what_is_allowed_and_what_is_set_aside_are_one_event() -> None:
    log = MemoryLog(CODEC)
    async with replicas(log, 1) as (one,):
        answers = await asyncio.gather(*(one.decide(f"a{n}") for n in range(8)))
        verdicts = [drawn.verdict for ((drawn, _),) in answers]
        assert verdicts == [Verdict.ALLOW] * 5 + [Verdict.DENY] * 3
        assert [held for ((_, held),) in answers] == [True] * 5 + [False] * 3
        assert one.budgets.counters(BudgetScope.AGENT).get(DAILY) is not None
        assert one.budgets == folded(log)  # at once, without the follower
    (event,) = {each.subject for each in log.recorded()}
    assert event == "evt.default.policy.budget.all.DecisionsMade"
    assert len(log.recorded()) <= 2
    assert sorted(each.verdict for each in decisions(log)) == ["ALLOW"] * 5 + ["DENY"] * 3


async def test_a_batch_is_decided_in_order_and_what_draws_on_nothing_is_recorded_with_it() -> None:
    log = MemoryLog(CODEC)
    async with replicas(log, 1) as (one,):
        free = replace(want("free"), draw=None)
        drawn, sequence = await one.lane.decide([free, *(want(f"b{n}") for n in range(6))], CAUSE)
        assert [each.reservation is not None for each in drawn] == [False] + [True] * 5 + [False]
        assert drawn[-1].refusal is not None
        assert drawn[-1].record.decision_id == "no-b5"
        assert sequence == 1
        assert decisions(log)[0].decision_id == "free"


async def test_two_replicas_never_overspend_together() -> None:
    log = MemoryLog(CODEC)
    async with replicas(log) as (one, two):
        answers = await asyncio.gather(
            *((one if n % 2 else two).decide(f"c{n}") for n in range(40)), return_exceptions=True
        )
        assert not [each for each in answers if isinstance(each, BaseException)]
        allowed = [each for each in decisions(log) if each.verdict is Verdict.ALLOW]
        assert len(allowed) == 5
        assert len({each.decision_id for each in decisions(log)}) == 40
        last = await log.last_sequence()
        for each in (one, two):
            await each.follower.reached(last)
        assert one.budgets == two.budgets == folded(log)


async def test_the_same_request_reserves_nothing_twice_on_any_replica() -> None:
    log = MemoryLog(CODEC)
    async with replicas(log) as (one, two):
        first = await one.decide("same")
        await two.follower.reached(await log.last_sequence())
        again = [await each.decide("same") for each in (one, two)]
        assert all(held for ((_, held),) in (first, *again))
        both = await asyncio.gather(
            one.decide("twin"), two.decide("twin")
        )  # at once: the second sees the conflict
        assert all(held for ((_, held),) in both)
        counter = folded(log).lasting.get(DAILY)
        assert counter is not None
        assert counter.used(Unit.ACTIONS) == (0, 2)
        assert [each.decision_id for each in decisions(log)] == ["same", "twin"]


@pytest.mark.parametrize("lost", [True, False])
async def test_an_answer_that_got_lost_is_found_by_asking_again(lost: bool) -> None:
    log = MemoryLog(CODEC)
    async with replicas(log) as (one, two):
        (log.lose_next_answer if lost else log.fail_next)()
        with pytest.raises(Unavailable):
            await one.decide("x")
        for each in (one, two):
            ((_, held),) = await each.decide("x")
            assert held
        assert len(decisions(log)) == 1
        assert len(folded(log).live) == 1


async def test_a_replica_that_starts_anew_knows_everything() -> None:
    log = MemoryLog(CODEC)
    async with replicas(log, 1) as (one,):
        await one.decide("a", "b")
        await one.lane.close([settle("d-a", Amounts(1))], CAUSE)
    async with replicas(log, 1) as (anew,):
        assert anew.budgets == folded(log)
        ((_, held),) = await anew.decide("a")
        assert held
        (outcome,), _ = await anew.lane.close([settle("d-a", Amounts(1))], CAUSE)
        assert isinstance(outcome, Closing)
        assert outcome.end is ReservationEnd.SETTLED
        assert len(log.recorded()) == 2


async def test_what_another_replica_did_a_moment_ago_is_never_said_not_to_be() -> None:
    log, gate = MemoryLog(CODEC), asyncio.Event()
    held = HeldAggregates(BUDGET, log, BUDGET_CODEC)

    async def late(events: Sequence[Recorded]) -> None:
        await gate.wait()
        await held.take(events)

    behind = Follower(log, held.filters, 0, late, "behind")
    await behind.start()
    lane = BudgetLane(held, behind, log_time)
    async with replicas(log, 1) as (ahead,):
        made, _ = await ahead.lane.reserve(draw("r", FIVE, amounts=Amounts(5)), CAUSE)
        assert isinstance(made, Reservation)
        settling = asyncio.create_task(lane.close([settle("r", Amounts(2))], CAUSE))
        await asyncio.wait({settling}, timeout=0.05)
        gate.set()
        (ended,), _ = await settling
        assert isinstance(ended, Closing)
        assert ended.end is ReservationEnd.SETTLED
        gate.clear()
        await ahead.follower.reached(await log.last_sequence())
        assert isinstance((await lane.reserve(draw("s", FIVE, amounts=Amounts(3)), CAUSE))[0], Reservation)
        await ahead.follower.reached(await log.last_sequence())
        await ahead.lane.close([settle("s")], CAUSE)
        reserving = asyncio.create_task(lane.reserve(draw("t", FIVE, amounts=Amounts(3)), CAUSE))
        await asyncio.wait({reserving}, timeout=0.05)
        assert not reserving.done(), "refused by somebody who does not know what was given back"
        gate.set()
        assert isinstance((await reserving)[0], Reservation)
    await lane.stop()
    await behind.stop()


async def test_reserving_and_settling_without_a_decision() -> None:
    log = MemoryLog(CODEC)
    async with replicas(log) as (one, two):
        made, sequence = await one.lane.reserve(draw("r", FIVE, amounts=Amounts(3)), CAUSE)
        assert isinstance(made, Reservation)
        assert sequence == 1
        await two.follower.reached(sequence)
        refused, _ = await two.lane.reserve(draw("s", FIVE, amounts=Amounts(3)), CAUSE)
        assert isinstance(refused, BudgetRefusal)
        assert (await one.lane.reserve(draw("t"), CAUSE))[0] is None
        outcomes, _ = await two.lane.close([settle("r"), settle("nobody's")], CAUSE)
        assert isinstance(outcomes[0], Closing)
        assert isinstance(outcomes[1], Fault)
        kinds = [type(CODEC.decode(each)) for each in log.recorded()]
        assert kinds == [BudgetReserved, ReservationsClosed]


async def test_what_is_set_by_hand_holds_at_once() -> None:
    log = MemoryLog(CODEC)
    async with replicas(log) as (one, two):
        wanted = BudgetSet(BudgetScope.TENANT, "", (Limit(Unit.ACTIONS, 1),), 0, "key:admin", "", AT)
        sequence = await one.lane.set(wanted, CAUSE)
        answers = await asyncio.gather(one.decide("a"), two.decide("b"), one.decide("c"))
        assert sorted(held for ((_, held),) in answers) == [False, False, True]
        assert sequence == 1


async def test_nobody_is_told_yes_while_the_log_is_full() -> None:
    log = MemoryLog(CODEC)
    async with replicas(log, 1) as (one,):
        log.fill()
        with pytest.raises(Exhausted):
            await one.decide("a")
        assert not one.budgets.live


STEPS = st.lists(
    st.tuples(
        st.integers(0, 1),  # which replica
        st.sampled_from(["decide", "reserve", "settle", "refund", "expire"]),
        st.integers(0, 9),  # which request
        st.sampled_from(["", "", "", "lost", "failed", "conflict", "feeds"]),
    ),
    min_size=4,
    max_size=24,
)


@given(steps=STEPS, together=st.integers(1, 6))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_two_replicas_under_any_faults(steps: list[tuple[int, str, int, str]], together: int) -> None:
    asyncio.run(_two_replicas(steps, together))


async def _two_replicas(steps: list[tuple[int, str, int, str]], together: int) -> None:
    log = MemoryLog(CODEC)
    trouble = {
        "lost": log.lose_next_answer,
        "failed": log.fail_next,
        "conflict": log.conflict_next,
        "feeds": log.break_feeds,
    }
    async with replicas(log) as both:

        async def take(where: int, what: str, n: int) -> None:
            lane = both[where].lane
            try:
                match what:
                    case "decide":
                        await lane.decide([want(f"q{n}")], CAUSE)
                    case "reserve":
                        await lane.reserve(draw(f"d-q{n}", FIVE), CAUSE)
                    case "settle":
                        await lane.close([settle(f"d-q{n}", Amounts(1))], CAUSE)
                    case "refund":
                        await lane.close([settle(f"d-q{n}", NOTHING)], CAUSE)
                    case _:
                        await lane.close([settle(f"d-q{n}", None)], CAUSE)
            except Unavailable:
                return  # and nobody may count on it

        for start in range(0, len(steps), together):
            for _, _, _, fault in steps[start : start + together]:
                if fault:
                    trouble[fault]()
            await asyncio.gather(
                *(take(where, what, n) for where, what, n, _ in steps[start : start + together])
            )
        last = await log.last_sequence()
        for each in both:
            await each.follower.reached(last)
        now = folded(log)
        assert both[0].budgets == both[1].budgets == now
        counter = now.lasting.get(DAILY)
        if counter is not None:
            spent, reserved = counter.used(Unit.ACTIONS)
            assert spent + reserved <= 5
            assert reserved == len(now.live)


async def test_a_replica_whose_clock_is_wrong_counts_nothing() -> None:
    log, far = MemoryLog(CODEC), AT + timedelta(days=3650)
    wrong = Cause("default", "r", "service:x", far)
    async with replicas(log) as (ahead, right):
        ahead_draw = replace(draw("r", FIVE, amounts=Amounts(1)), at=far)
        with pytest.raises(ClockWrong, match="315360000 seconds ahead of the event log"):
            await ahead.lane.reserve(ahead_draw, wrong)
        made, _ = await right.lane.reserve(draw("s", FIVE, amounts=Amounts(1)), CAUSE)
        assert isinstance(made, Reservation)
        await ahead.follower.reached(await log.last_sequence())
        with pytest.raises(ClockWrong):
            await ahead.lane.close([replace(settle("s"), at=far)], wrong)
        behind = AT - timedelta(days=1)
        for at in (far, behind):
            with pytest.raises(ClockWrong):
                await ahead.lane.set(BudgetSet(BudgetScope.TENANT, "", (), 0, "key:x", "", at), wrong)
        assert len(log.recorded()) == 1
        assert right.budgets.latest == AT
