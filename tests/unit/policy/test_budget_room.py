"""Counters of runs and tasks: whose they are, what is never forgotten for room, and who is refused instead."""

from dataclasses import replace

from services.policy.domain.amounts import Amounts, Unit
from services.policy.domain.budget import BudgetReserved, Budgets, evolve
from services.policy.domain.budget_faults import TooManyCounters
from services.policy.domain.counters import Key
from services.policy.domain.drawing import BudgetRefusal, Draw
from services.policy.domain.reservation import BudgetScope, Reservation
from services.policy.domain.reserving import new_among, reserve
from services.policy.domain.shelves import SHELVES, Counters, shelf_of
from services.policy.domain.shown_budgets import shown_budgets
from tests.unit.policy.purses import closed, draw, reserved, rule, settle
from tests.unit.policy.words import AT

RUN, TASK = BudgetScope.RUN, BudgetScope.TASK
OF_RUN, OF_TASK = rule({Unit.ACTIONS: 5}, RUN, "r"), rule({Unit.ACTIONS: 5}, TASK, "t")
ON_A_SHELF = 16
SMALL = Budgets(fleeting=Counters(ON_A_SHELF * SHELVES))
DAY = 86_400
SHELF = shelf_of(Key("", TASK, "task-1", 0))
NAMES = [name for name in map(str, range(20_000)) if shelf_of(Key("", TASK, name, 0)) == SHELF]
"""All on the shelf of `task-1`."""


def spent(budgets: Budgets, one: Draw) -> Budgets:
    budgets, (made,) = reserved(budgets, one)
    assert isinstance(made, Reservation), made
    return closed(budgets, replace(settle(made.reservation_id, Amounts(1)), at=one.at))[0]


def refused(budgets: Budgets, one: Draw) -> object:
    (outcome,) = reserve(budgets, [[one]])
    return outcome[0] if isinstance(outcome, tuple) else outcome


def used(budgets: Budgets, key: Key) -> tuple[int, int] | None:
    counter = budgets.fleeting.get(key)
    return None if counter is None else counter.used(Unit.ACTIONS)


def test_nobody_spends_anothers_run_by_its_name() -> None:
    budgets, _ = reserved(
        SMALL, *(draw(f"evil{n}", OF_RUN, agent_id="evil", run_id="run-1") for n in range(5))
    )
    budgets, (own, theirs) = reserved(
        budgets, draw("own", OF_RUN), draw("more", OF_RUN, agent_id="evil", run_id="run-1")
    )
    assert isinstance(own, Reservation)
    assert isinstance(theirs, BudgetRefusal)
    assert used(budgets, Key("set.r", RUN, "run-1", 0, "sre-1")) == (0, 1)
    shown = [
        (each.agent_id, each.lines[0].reserved)
        for each in shown_budgets(budgets, (OF_RUN,), {RUN: "run-1"}, AT, lambda *_: 0)
    ]
    assert shown == [("evil", 5), ("sre-1", 1)]
    of_one = list(
        shown_budgets(budgets, (OF_RUN,), {RUN: "run-1", BudgetScope.AGENT: "sre-1"}, AT, lambda *_: 0)
    )
    assert [(each.agent_id, each.lines[0].reserved) for each in of_one] == [("sre-1", 1)]


def test_what_a_task_has_spent_is_not_forgotten_for_those_that_were_given_back() -> None:
    budgets = spent(SMALL, draw("first", OF_TASK))
    for n, name in enumerate(NAMES[: 10 * ON_A_SHELF]):
        budgets, (made,) = reserved(budgets, draw(f"junk{n}", OF_TASK, task_id=name))
        assert isinstance(made, Reservation)
        budgets, _ = closed(budgets, settle(f"junk{n}"))
    assert used(budgets, Key("set.t", TASK, "task-1", 0)) == (1, 0)
    assert len(budgets.fleeting) <= ON_A_SHELF


def test_where_all_have_spent_something_the_next_is_refused_and_none_forgotten() -> None:
    budgets = SMALL
    for n, name in enumerate(NAMES[:ON_A_SHELF]):
        budgets = spent(budgets, draw(f"d{n}", OF_TASK, task_id=name))
    one_more = draw("more", OF_TASK, task_id=NAMES[-1])
    fault = refused(budgets, one_more)
    assert isinstance(fault, TooManyCounters)
    assert fault.reason == "TOO_MANY_COUNTERS"
    assert isinstance(refused(budgets, draw("again", OF_TASK, task_id=NAMES[0])), Reservation), "it is there"
    elsewhere = next(n for n in map(str, range(999)) if shelf_of(Key("", TASK, n, 0)) != SHELF)
    outcomes = reserve(budgets, [[draw("x", OF_TASK, task_id=elsewhere), one_more], [draw("y", OF_TASK)]])
    assert [isinstance(each, TooManyCounters) for each in outcomes] == [True, True], "all of a group or none"
    soon = draw("more", OF_TASK, task_id=NAMES[-1], seconds=29 * DAY)
    assert isinstance(refused(budgets, soon), TooManyCounters)
    idle = draw("more", OF_TASK, task_id=NAMES[-1], seconds=31 * DAY)
    later = spent(budgets, idle)
    assert used(later, Key("set.t", TASK, NAMES[-1], 0)) == (1, 0)
    assert used(later, Key("set.t", TASK, NAMES[0], 0)) is None, "nobody has drawn on it for a month"


def test_windows_that_have_ended_make_room() -> None:
    hourly = rule({Unit.ACTIONS: 5}, TASK, "t", 3600)
    budgets = SMALL
    for n, name in enumerate(NAMES[:ON_A_SHELF]):
        budgets = spent(budgets, draw(f"d{n}", hourly, task_id=name))
    assert isinstance(refused(budgets, draw("more", hourly, task_id=NAMES[-1])), TooManyCounters)
    budgets = spent(budgets, draw("more", hourly, task_id=NAMES[-1], seconds=3600))
    assert len(budgets.fleeting) == 1


def test_what_is_set_aside_is_not_forgotten_however_long_it_is_idle() -> None:
    budgets, _ = reserved(SMALL, draw("held", OF_TASK))
    for n, name in enumerate(NAMES[: ON_A_SHELF - 1]):
        budgets = spent(budgets, draw(f"d{n}", OF_TASK, task_id=name))
    budgets = spent(budgets, draw("more", OF_TASK, task_id=NAMES[-1], seconds=40 * DAY))
    assert used(budgets, Key("set.t", TASK, "task-1", 0)) == (0, 1)


def test_one_agents_runs_leave_room_for_the_others() -> None:
    budgets, taken = SMALL, 0
    for n, name in enumerate(NAMES[:ON_A_SHELF]):
        one = draw(f"d{n}", OF_RUN, agent_id="greedy", run_id=name)
        fault = refused(budgets, one)
        if isinstance(fault, TooManyCounters):
            assert fault.facts["agent_id"] == "greedy"
            break
        budgets, taken = spent(budgets, one), taken + 1
    assert taken == ON_A_SHELF // 2
    for n, name in enumerate(NAMES[: ON_A_SHELF // 2]):
        budgets = spent(budgets, draw(f"o{n}", OF_RUN, agent_id=f"other-{n}", run_id=name))
    assert isinstance(refused(budgets, draw("last", OF_RUN, run_id=NAMES[-1])), TooManyCounters)


def test_reservations_from_before_runs_had_agents_count_in_their_agents_run() -> None:
    (outcomes,) = reserve(SMALL, [[draw("old", OF_RUN, decision_id="d-1")]])
    assert isinstance(outcomes, tuple)
    event = BudgetReserved(new_among(SMALL, outcomes))
    (charge,) = event.reservations[0].charges
    assert charge.scope_id == "run-1", "as it has always been written"
    budgets = evolve(SMALL, event)
    assert used(budgets, Key("set.r", RUN, "run-1", 0, "sre-1")) == (0, 1)
    assert not event.reservations[0].by_agent


def test_many_draws_fill_the_room_of_a_tenant_and_no_more() -> None:
    budgets = SMALL
    outcomes = reserve(budgets, [[draw(f"d{n}", OF_TASK, task_id=name)] for n, name in enumerate(NAMES[:50])])
    granted = [each for each in outcomes if isinstance(each, tuple)]
    assert len(granted) == ON_A_SHELF
    budgets = evolve(budgets, BudgetReserved(new_among(budgets, [one for each in granted for one in each])))
    assert isinstance(refused(budgets, draw("more", OF_TASK, task_id=NAMES[-1])), TooManyCounters)
