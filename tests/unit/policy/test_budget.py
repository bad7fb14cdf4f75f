"""Budgets: what fits, what does not and why, windows, hosts, nesting, settling; the same request draws once."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.policy.domain.amounts import MAX_AMOUNT, NOTHING, Amounts, Unit, checked, cost_of
from services.policy.domain.budget import Budgets, evolve, set_by_hand
from services.policy.domain.budget_faults import (
    AmountInvalid,
    ReservationClosed,
    ReservationUnknown,
    TooManyReservations,
)
from services.policy.domain.closing import Closing
from services.policy.domain.counters import Key
from services.policy.domain.drawing import Applied, BudgetRefusal
from services.policy.domain.limits import BudgetSet, Limit, checked_limits
from services.policy.domain.outcomes import ErrorNoted
from services.policy.domain.recorded_errors import MAX_REMEMBERED, MAX_SECONDS, ErrorCounts
from services.policy.domain.reservation import BudgetScope, Reservation, ReservationEnd
from services.policy.domain.reserving import refusal, reserve
from services.policy.domain.shown_budgets import shown_budgets
from tests.unit.policy.purses import closed, draw, reserved, rule, settle
from tests.unit.policy.words import AT

ACTIONS, TOKENS, HOSTS, ERRORS = Unit.ACTIONS, Unit.TOKENS, Unit.HOSTS, Unit.ERRORS
EMPTY = Budgets()


def used(budgets: Budgets, unit: Unit, key: Key) -> tuple[int, int]:
    counter = budgets.counters(key.scope).get(key)
    return (0, 0) if counter is None else counter.used(unit)


DAILY = Key("set.daily", BudgetScope.AGENT, "sre-1", 0)


def test_what_fits_is_set_aside_and_what_does_not_is_told_which_budget_refuses() -> None:
    limit = rule({ACTIONS: 2})
    budgets, outcomes = reserved(EMPTY, draw("a", limit), draw("b", limit), draw("c", limit))
    first, second, third = outcomes
    assert isinstance(first, Reservation)
    assert isinstance(second, Reservation)
    assert third == BudgetRefusal("set.daily", BudgetScope.AGENT, "sre-1", ACTIONS, 2, 0, 2, 1, None)
    assert isinstance(third, BudgetRefusal)
    assert third.text == (
        "budget set.daily of agent 'sre-1' allows 2 ACTIONS: 0 spent, 2 set aside, 1 asked for; it never begins anew, "
        "until an admin sets another."
    )
    assert third.facts["unit"] == "ACTIONS"
    assert used(budgets, ACTIONS, DAILY) == (0, 2)


def test_nobody_without_a_budget_has_anything_set_aside() -> None:
    budgets, outcomes = reserved(EMPTY, draw("a"), draw("b", rule({TOKENS: 5})))
    assert outcomes == (None, None)
    assert budgets is EMPTY


def test_a_draw_counts_in_all_its_budgets_or_in_none() -> None:
    wide = rule({ACTIONS: 10}, BudgetScope.TENANT, "wide")
    narrow = rule({ACTIONS: 1}, BudgetScope.RUN, "narrow")
    budgets, (one, two) = reserved(EMPTY, draw("a", wide, narrow), draw("b", wide, narrow))
    assert isinstance(one, Reservation)
    assert [charge.budget_id for charge in one.charges] == ["set.wide", "set.narrow"]
    assert isinstance(two, BudgetRefusal)
    assert two.budget_id == "set.narrow"
    assert used(budgets, ACTIONS, Key("set.wide", BudgetScope.TENANT, "", 0)) == (0, 1)


def test_what_is_set_by_hand_holds_beside_the_set_and_can_be_taken_back() -> None:
    by_hand = BudgetSet(BudgetScope.TASK, "task-1", (Limit(ACTIONS, 1),), 0, "key:admin", "", AT)
    assert set_by_hand(EMPTY, by_hand) is by_hand
    budgets = evolve(EMPTY, by_hand)
    assert set_by_hand(budgets, by_hand) is None
    wide = rule({ACTIONS: 10})
    budgets, (_, refused) = reserved(budgets, draw("a", wide), draw("b", wide))
    assert isinstance(refused, BudgetRefusal)
    assert (refused.budget_id, refused.scope) == ("hand", BudgetScope.TASK)
    back = BudgetSet(BudgetScope.TASK, "task-1", (), 0, "key:admin", "", AT)
    budgets, (taken,) = reserved(evolve(budgets, back), draw("b", wide))
    assert isinstance(taken, Reservation)
    assert set_by_hand(budgets, back) is None


def test_a_window_begins_anew_and_time_never_goes_back() -> None:
    hourly = rule({ACTIONS: 1}, window_seconds=3600)
    budgets, (first, refused) = reserved(EMPTY, draw("a", hourly), draw("b", hourly))
    assert isinstance(refused, BudgetRefusal)
    renews = datetime.fromtimestamp((int(AT.timestamp()) // 3600 + 1) * 3600, UTC)
    assert refused.renew_time == renews
    budgets, (anew,) = reserved(budgets, draw("c", hourly, seconds=3600))
    assert isinstance(first, Reservation)
    assert isinstance(anew, Reservation)
    assert anew.charges[0].window == first.charges[0].window + 1
    budgets, (behind,) = reserved(budgets, draw("d", hourly, seconds=0))
    assert isinstance(behind, BudgetRefusal)  # a clock that is behind opens no old window again
    budgets, _ = closed(budgets, settle("a", Amounts(actions=1), 3600))
    assert used(budgets, ACTIONS, Key("set.daily", BudgetScope.AGENT, "sre-1", 3600)) == (0, 1)


def test_another_length_of_window_is_another_counter() -> None:
    budgets, _ = reserved(EMPTY, draw("a", rule({ACTIONS: 1}, window_seconds=60)))
    _, (anew,) = reserved(budgets, draw("b", rule({ACTIONS: 1}, window_seconds=86_400)))
    assert isinstance(anew, Reservation)


def test_hosts_are_different_targets() -> None:
    limit = rule({HOSTS: 2})
    touch = [Amounts(1, hosts=(host,)) for host in ("a", "b", "c")]
    budgets, outcomes = reserved(
        EMPTY,
        draw("1", limit, amounts=touch[0]),
        draw("2", limit, amounts=touch[0]),
        draw("3", limit, amounts=touch[1]),
        draw("4", limit, amounts=touch[2]),
    )
    assert [isinstance(each, Reservation) for each in outcomes] == [True, True, True, False]
    assert used(budgets, HOSTS, DAILY) == (0, 2)
    budgets, _ = closed(budgets, settle("1", Amounts(actions=1)), settle("3"))
    assert used(budgets, HOSTS, DAILY) == (1, 0)
    budgets, (now,) = reserved(budgets, draw("4", limit, amounts=touch[2]))
    assert isinstance(now, Reservation)


def test_hosts_that_nobody_counts_are_not_kept() -> None:
    _, (made,) = reserved(EMPTY, draw("a", rule({ACTIONS: 5}), amounts=Amounts(1, hosts=("db-1",))))
    assert isinstance(made, Reservation)
    assert made.amounts == Amounts(1)


def test_settling_counts_what_was_spent_and_frees_the_rest() -> None:
    limit = rule({TOKENS: 100})
    budgets, _ = reserved(
        EMPTY, draw("a", limit, amounts=Amounts(1, 80)), draw("b", limit, amounts=Amounts(1, 20))
    )
    budgets, (ended, given_back) = closed(budgets, settle("a", Amounts(1, 30)), settle("b"))
    assert isinstance(ended, Closing)
    assert ended.end is ReservationEnd.SETTLED
    assert isinstance(given_back, Closing)
    assert given_back.end is ReservationEnd.REFUNDED
    assert used(budgets, TOKENS, DAILY) == (30, 0)
    assert not budgets.live


def test_what_nobody_settles_counts_whole() -> None:
    limit = rule({TOKENS: 100})
    budgets, _ = reserved(EMPTY, draw("a", limit, amounts=Amounts(1, 80), ttl_seconds=60))
    assert budgets.expired(AT + timedelta(seconds=60)) == ()
    (late,) = budgets.expired(AT + timedelta(seconds=61))
    budgets, (ended,) = closed(budgets, settle(late.reservation_id, None))
    assert isinstance(ended, Closing)
    assert (ended.end, ended.charged) == (ReservationEnd.EXPIRED, Amounts(1, 80))
    assert used(budgets, TOKENS, DAILY) == (80, 0)


def test_settled_again_it_ends_as_it_has_and_not_otherwise() -> None:
    budgets, _ = reserved(EMPTY, draw("a", rule({TOKENS: 100}), amounts=Amounts(1, 80)))
    spent = Amounts(1, 30)
    after, (first, same, other) = closed(
        budgets, settle("a", spent), settle("a", spent, 5), settle("a", Amounts(1, 31))
    )
    assert first == same
    assert isinstance(other, ReservationClosed)
    again, outcomes = closed(after, settle("a", spent, 9), settle("a"), settle("never"))
    assert again is after
    assert outcomes[0] == first
    assert isinstance(outcomes[1], ReservationClosed)
    assert isinstance(outcomes[2], ReservationUnknown)


def test_nobody_settles_more_than_was_reserved_or_anothers() -> None:
    limit = rule({TOKENS: 100, HOSTS: 3})
    budgets, _ = reserved(EMPTY, draw("a", limit, amounts=Amounts(1, 80, hosts=("x", "y"))))
    _, outcomes = closed(
        budgets,
        settle("a", Amounts(1, 81)),
        settle("a", Amounts(2, 80)),
        settle("a", Amounts(1, -1)),
        settle("a", Amounts(1, 1, hosts=("z",))),
        settle("a", Amounts(1, 80), agent_id="another"),
    )
    assert [type(each) for each in outcomes] == [AmountInvalid] * 4 + [ReservationUnknown]
    budgets, _ = closed(budgets, settle("a", Amounts(1, 1, hosts=("x",)), agent_id="sre-1"))
    assert used(budgets, HOSTS, DAILY) == (1, 0)


def test_the_same_request_draws_once_also_when_it_was_charged() -> None:
    limit = rule({ACTIONS: 1})
    budgets, (first,) = reserved(EMPTY, draw("a", limit))
    again, (same, refused) = reserved(budgets, draw("a", limit, seconds=9), draw("b", limit))
    assert again is budgets
    assert same is first
    assert isinstance(refused, BudgetRefusal)
    charged, _ = closed(budgets, settle("a", Amounts(1)))
    again, (same,) = reserved(charged, draw("a", limit))
    assert (again, same) == (charged, first)
    assert refusal(charged, draw("a", limit), lambda *_: 0) is None
    both, (one, two) = reserved(EMPTY, draw("a", limit), draw("a", limit))
    assert one is two
    assert used(both, ACTIONS, DAILY) == (0, 1)


def test_what_was_given_back_is_drawn_anew() -> None:
    limit = rule({ACTIONS: 1})
    budgets, _ = reserved(EMPTY, draw("a", limit))
    budgets, _ = closed(budgets, settle("a"))
    budgets, (anew,) = reserved(budgets, draw("a", limit, seconds=5))
    assert isinstance(anew, Reservation)
    assert used(budgets, ACTIONS, DAILY) == (0, 1)
    budgets, (ended,) = closed(budgets, settle("a", Amounts(1), 9))
    assert isinstance(ended, Closing)
    assert ended.end is ReservationEnd.SETTLED


def test_errors_refuse_what_comes_next() -> None:
    limit = rule({ERRORS: 2})
    told: list[int] = []

    def errors(n: int) -> BudgetRefusal | None:
        def count(_: Applied, since_seconds: int) -> int:
            told.append(since_seconds)
            return n

        return refusal(EMPTY, draw("a", limit), count)

    assert errors(1) is None
    refused = errors(2)
    assert refused is not None
    assert (refused.unit, refused.most, refused.spent) == (ERRORS, 2, 2)
    assert told == [0, 0]
    hourly = refusal(EMPTY, draw("a", rule({ERRORS: 1}, window_seconds=3600)), lambda _, since: since)
    assert hourly is not None
    assert hourly.spent % 3600 == 0


def test_errors_are_counted_by_whose_they_are_and_since_when() -> None:
    counts = ErrorCounts()
    for n in range(MAX_SECONDS + 50):
        counts.add(ErrorNoted("sre-1", "task-1", "run-1", False, AT + timedelta(seconds=n)))
    counts.add(ErrorNoted("sre-2", "", "", False, AT))
    since = int(AT.timestamp())
    assert counts.count(BudgetScope.AGENT, "sre-1", 0) == MAX_SECONDS + 50
    assert counts.count(BudgetScope.TENANT, "", 0) == MAX_SECONDS + 51
    assert counts.count(BudgetScope.RUN, "run-1", since + 200) == MAX_SECONDS - 150
    assert counts.count(BudgetScope.RUN, "run-1", since) == MAX_SECONDS + 50
    assert counts.count(BudgetScope.TASK, "task-2", 0) == 0


def test_errors_of_agents_are_never_forgotten_those_of_runs_are() -> None:
    counts = ErrorCounts()
    for _ in range(3):
        counts.add(ErrorNoted("sre-1", "task-1", "run-1", False, AT))
    for n in range(MAX_REMEMBERED):
        counts.add(ErrorNoted(f"other-{n}", f"other-{n}", f"other-{n}", False, AT))
    assert counts.count(BudgetScope.AGENT, "sre-1", 0) == 3
    assert counts.count(BudgetScope.TENANT, "", 0) == MAX_REMEMBERED + 3
    assert counts.count(BudgetScope.RUN, "run-1", 0) == counts.count(BudgetScope.TASK, "task-1", 0) == 0


def test_live_reservations_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.policy.domain.reserving.MAX_LIVE", 3)
    monkeypatch.setattr("services.policy.domain.reserving.SHARE", 1)
    limit = rule({ACTIONS: 100})
    pair = [draw("a", limit), draw("b", limit)]
    one, two, three = reserve(EMPTY, [pair, [draw("c", limit), draw("d", limit)], [draw("e", limit), None]])
    assert isinstance(one, tuple)
    assert isinstance(two, TooManyReservations)
    assert isinstance(three, tuple)


def test_no_agent_keeps_the_others_from_reserving(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.policy.domain.reserving.MAX_LIVE", 40)
    limit = rule({ACTIONS: 100})
    greedy = [[draw(f"g{n}", limit)] for n in range(40)]
    outcomes = reserve(EMPTY, greedy)
    granted = sum(isinstance(each, tuple) for each in outcomes)
    assert granted == 20, "alone it may have half of the room, and not more"
    refused = [each for each in outcomes if isinstance(each, TooManyReservations)]
    assert "of agent" in refused[0].text
    budgets, _ = reserved(EMPTY, *(each[0] for each in greedy[:20]))
    others = [[replace(draw(f"o{n}", limit), agent_id=f"other-{n}")] for n in range(10)]
    assert all(isinstance(each, tuple) for each in reserve(budgets, others))
    assert isinstance(reserve(budgets, [greedy[20]])[0], TooManyReservations)


def test_what_agents_have_spent_is_never_forgotten_and_windows_that_ended_are() -> None:
    ever, minute = rule({ACTIONS: 5}), rule({ACTIONS: 5}, id="minute", window_seconds=60)
    budgets, n = EMPTY, 12_000
    for start in range(0, n, 1500):
        ids = [f"a{number}" for number in range(start, start + 1500)]
        draws = (draw(each, ever, minute, agent_id=each, seconds=start / 10) for each in ids)
        budgets, _ = reserved(budgets, *draws)
        budgets, _ = closed(budgets, *(settle(each, Amounts(1), start / 10) for each in ids))
    assert n <= len(budgets.lasting) < 2 * n
    assert used(budgets, ACTIONS, Key("set.daily", BudgetScope.AGENT, "a0", 0)) == (1, 0)


def test_amounts_are_whole_bounded_and_priced() -> None:
    for wrong in (
        Amounts(-1),
        Amounts(tokens=MAX_AMOUNT + 1),
        Amounts(money_micros=-5),
        Amounts(errors=1),
        Amounts(hosts=("",)),
        Amounts(hosts=tuple(f"h{n}" for n in range(1001))),
    ):
        with pytest.raises(AmountInvalid):
            checked(wrong, "cost")
    assert checked(Amounts(1, hosts=("a", "a")), "cost") == Amounts(1, hosts=("a",))
    prices = {"llm.*": Amounts(tokens=500, money_micros=7)}
    assert cost_of("llm.ask", "gpt", Amounts(tokens=900), prices) == Amounts(1, 900, 7, 0, ("gpt",))
    assert cost_of("ssh.run", "", NOTHING, prices) == Amounts(1)


def test_limits_are_checked() -> None:
    for limits, window in (
        ((Limit(ACTIONS, -1),), 0),
        ((Limit(TOKENS, MAX_AMOUNT + 1),), 0),
        ((Limit(HOSTS, 5000),), 0),
        ((Limit(ACTIONS, 1), Limit(ACTIONS, 2)), 0),
        ((Limit(ACTIONS, 1),), -1),
        ((Limit(ACTIONS, 1),), 10**9),
    ):
        with pytest.raises(AmountInvalid):
            checked_limits(limits, window)
    assert checked_limits((Limit(HOSTS, 1), Limit(ACTIONS, 2)), 60) == (Limit(ACTIONS, 2), Limit(HOSTS, 1))


def test_people_see_every_limit_in_force_with_what_is_left() -> None:
    limit = rule({ACTIONS: 3, ERRORS: 9}, window_seconds=3600)
    by_hand = BudgetSet(BudgetScope.TENANT, "", (Limit(TOKENS, 50),), 0, "key:admin", "", AT)
    budgets, _ = reserved(evolve(EMPTY, by_hand), draw("a", limit, amounts=Amounts(1, 20)))
    found = list(shown_budgets(budgets, (limit,), {BudgetScope.AGENT: "sre-1"}, AT, lambda *_: 4))
    assert [(each.budget_id, each.scope) for each in found] == [
        ("set.daily", BudgetScope.AGENT),
        ("hand", BudgetScope.TENANT),
    ]
    assert [(line.unit, line.most, line.spent, line.reserved) for line in found[0].lines] == [
        (ACTIONS, 3, 0, 1),
        (ERRORS, 9, 4, 0),
    ]
    later = list(
        shown_budgets(budgets, (limit,), {BudgetScope.AGENT: "sre-1"}, AT + timedelta(hours=1), lambda *_: 0)
    )
    assert later[0].lines[0].reserved == 0
    everything = list(shown_budgets(budgets, (limit,), {}, AT, lambda *_: 0))
    assert {each.token for each in everything} == {each.token for each in found}
