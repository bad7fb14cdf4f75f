"""A clock that was far ahead: what an admin sets brings time back, and nothing is forgotten by that."""

from dataclasses import replace
from datetime import datetime, timedelta

from services.policy.domain.amounts import Amounts, Unit
from services.policy.domain.budget import BudgetReserved, Budgets, evolve, set_by_hand
from services.policy.domain.counters import Key
from services.policy.domain.drawing import BudgetRefusal, window_of
from services.policy.domain.limits import BudgetSet, Limit
from services.policy.domain.reservation import BudgetScope, Reservation
from services.policy.domain.reserving import new_among, reserve
from tests.unit.policy.purses import closed, draw, reserved, rule, settle
from tests.unit.policy.words import AT

MINUTELY = rule({Unit.ACTIONS: 2}, window_seconds=60)
RUNS = rule({Unit.ACTIONS: 50}, BudgetScope.RUN, "runs", 60)
KEY = Key("set.daily", BudgetScope.AGENT, "sre-1", 60)
FAR = timedelta(days=3650).total_seconds()


def by_hand(at: datetime, most: int = 9) -> BudgetSet:
    return BudgetSet(BudgetScope.TENANT, "", (Limit(Unit.TOKENS, most),), 0, "key:admin", "", at)


def used(budgets: Budgets) -> tuple[int, tuple[int, int]]:
    counter = budgets.lasting.get(KEY)
    assert counter is not None
    return counter.window, counter.used(Unit.ACTIONS)


def frozen() -> Budgets:
    budgets, _ = reserved(Budgets(), draw("right", MINUTELY, RUNS))
    budgets, (made,) = reserved(budgets, draw("far", MINUTELY, RUNS, seconds=FAR))
    assert isinstance(made, Reservation)
    budgets, (also,) = reserved(budgets, draw("there", MINUTELY, RUNS, seconds=30))
    assert isinstance(also, Reservation)
    _, (refused,) = reserved(budgets, draw("frozen", MINUTELY, RUNS, seconds=86_400))
    assert isinstance(refused, BudgetRefusal), "until 2036"
    return budgets


def test_limits_set_by_an_admin_make_windows_begin_anew_again() -> None:
    at = AT + timedelta(minutes=10)
    budgets = evolve(frozen(), by_hand(at))
    assert budgets.latest == at
    assert used(budgets) == (window_of(at, 60), (0, 2)), "what was counted counts now"
    _, (still,) = reserved(budgets, draw("x", MINUTELY, RUNS, seconds=601))
    assert isinstance(still, BudgetRefusal)
    for n in range(1, 4):
        pair = [draw(f"x{n}{m}", MINUTELY, RUNS, seconds=600 + 60 * n) for m in "abc"]
        budgets, outcomes = reserved(budgets, *pair)
        assert [type(each) for each in outcomes] == [Reservation, Reservation, BudgetRefusal]


def test_what_was_set_aside_is_settled_or_expires_as_if_it_were_made_now() -> None:
    at = AT + timedelta(minutes=10)
    budgets = evolve(frozen(), by_hand(at))
    assert {each.reservation_id for each in budgets.expired(at + timedelta(seconds=61))} == set(budgets.live)
    for name in ("right", "far", "there"):
        end = settle(name, Amounts(1) if name == "far" else Amounts())
        budgets, _ = closed(budgets, replace(end, at=at))
    assert used(budgets) == (window_of(at, 60), (1, 0))
    assert not budgets.live
    assert budgets.latest == at


def test_limits_that_are_so_already_bring_time_back_too() -> None:
    budgets = evolve(frozen(), by_hand(AT + timedelta(days=3650)))
    same = by_hand(AT)
    assert set_by_hand(budgets, same) is same
    budgets = evolve(budgets, same)
    assert set_by_hand(budgets, same) is None
    assert set_by_hand(budgets, by_hand(AT - timedelta(minutes=4))) is None, "clocks differ a little"


def test_of_windows_without_counters_nothing_is_left_when_they_are_closed() -> None:
    budgets, _ = reserved(Budgets(), draw("a", MINUTELY))
    budgets, _ = reserved(budgets, draw("b", MINUTELY, seconds=60))
    budgets, _ = closed(budgets, settle("b", seconds=60))
    budgets, _ = closed(budgets, settle("a", Amounts(1), seconds=61))
    assert used(budgets)[1] == (0, 0)
    (outcomes,) = reserve(budgets, [[draw(f"c{n}", MINUTELY, seconds=62) for n in range(3)]])
    assert isinstance(outcomes, tuple)
    assert len(new_among(budgets, outcomes)) == 2
    assert isinstance(evolve(budgets, BudgetReserved(new_among(budgets, outcomes))), Budgets)
