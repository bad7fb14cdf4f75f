"""Budgets under anything that can happen to them: never overspent, nothing lost, and the log says it all."""

from collections import defaultdict
from datetime import timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from services.policy.domain.amounts import NOTHING, Amounts, Unit
from services.policy.domain.budget import BUDGET, BudgetReserved, Budgets, Event, close, ended_among, evolve
from services.policy.domain.closing import Close, Closing, ReservationsClosed
from services.policy.domain.drawing import BudgetRefusal, Draw
from services.policy.domain.policyset_rules import BudgetRule
from services.policy.domain.reservation import BudgetScope, Charge, Reservation
from services.policy.domain.reserving import new_among, reserve
from services.policy.domain.tier import Tier
from tests.unit.policy.words import AT

RULES = (
    BudgetRule("run", BudgetScope.RUN, tuple(Tier), {Unit.ACTIONS: 3, Unit.HOSTS: 2}),
    BudgetRule("agent", BudgetScope.AGENT, tuple(Tier), {Unit.TOKENS: 50}, 60),
    BudgetRule("all", BudgetScope.TENANT, tuple(Tier), {Unit.TOKENS: 90, Unit.MONEY_MICROS: 1000}, 300),
)
MOST = {f"set.{each.id}": each.limits for each in RULES}
AMOUNTS = st.builds(
    Amounts,
    actions=st.integers(0, 2),
    tokens=st.integers(0, 40),
    money_micros=st.integers(0, 600),
    hosts=st.lists(st.sampled_from("abc"), max_size=2, unique=True).map(tuple),
)
IDS = st.sampled_from([f"r{n}" for n in range(12)])


class Machine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.budgets = Budgets()
        self.events: list[Event] = []
        self.now = AT

    def happened(self, event: Event) -> None:
        self.events.append(event)
        self.budgets = evolve(self.budgets, event)

    @rule(seconds=st.integers(-30, 90))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)  # and clocks differ

    @rule(
        asked=st.lists(
            st.tuples(IDS, AMOUNTS, st.sampled_from("xy"), st.sampled_from("pq")), min_size=1, max_size=4
        )
    )
    def ask(self, asked: list[tuple[str, Amounts, str, str]]) -> None:
        draws = [
            Draw(name, agent, run, "task", amounts, RULES, self.now, 60, "")
            for name, amounts, agent, run in asked
        ]
        known = {each.reservation_id: self.budgets.known(each.reservation_id) for each in draws}
        (outcomes,) = reserve(self.budgets, [draws])
        assert isinstance(outcomes, tuple)
        for draw, outcome in zip(draws, outcomes, strict=True):
            if known[draw.reservation_id] is not None:
                assert outcome == known[draw.reservation_id]
            elif isinstance(outcome, BudgetRefusal):
                assert outcome.spent + outcome.reserved + outcome.asked > outcome.most
            else:
                assert outcome is not None or draw.amounts == NOTHING
        new = new_among(self.budgets, outcomes)
        if new:
            self.happened(BudgetReserved(new))

    @rule(ids=st.lists(IDS, min_size=1, max_size=4), share=st.sampled_from([None, 0, 1, 2]))
    def end(self, ids: list[str], share: int | None) -> None:
        closes = []
        for name in ids:
            live = self.budgets.live.get(name)
            held = live.amounts if live is not None else Amounts(1)
            part = None
            if share is not None:
                part = Amounts(
                    held.actions * share // 2, held.tokens * share // 2, held.money_micros * share // 2
                )
            closes.append(Close(name, part, "x", self.now))
        outcomes = close(self.budgets, closes)
        for each, outcome in zip(closes, outcomes, strict=True):
            if each.reservation_id in self.budgets.live and ids.count(each.reservation_id) == 1:
                assert isinstance(outcome, Closing)
        ended = ended_among(self.budgets, outcomes)
        if ended:
            self.happened(ReservationsClosed(ended))

    @invariant()
    def is_never_overspent(self) -> None:
        for counters in (self.budgets.fleeting, self.budgets.lasting):
            for key in counters.keys():  # noqa: SIM118 - no dictionary
                counter = counters.get(key)
                assert counter is not None
                for unit, most in MOST[key.budget_id].items():
                    spent, reserved = counter.used(unit)
                    assert spent >= 0
                    assert reserved >= 0
                    assert spent + reserved <= most, (key, unit)

    @invariant()
    def loses_nothing(self) -> None:
        """What was asked is settled, given back or still set aside, counted anew from the events alone."""
        made: dict[str, Reservation] = {}
        tokens: dict[Charge, int] = defaultdict(int)
        for event in self.events:
            match event:
                case BudgetReserved(reservations):
                    made.update({each.reservation_id: each for each in reservations})
                case ReservationsClosed(closings):
                    for closing in closings:
                        for charge in made.pop(closing.reservation_id).charges:
                            tokens[charge] += closing.charged.tokens
                case _:
                    raise AssertionError(f"nobody here does this: {event}")
        assert made == dict(self.budgets.live)
        for reservation in made.values():
            for charge in reservation.charges:
                tokens[charge] += reservation.amounts.tokens
        for charge, n in tokens.items():
            if Unit.TOKENS in MOST[charge.budget_id]:
                assert n <= MOST[charge.budget_id][Unit.TOKENS]

    @invariant()
    def is_what_its_events_say(self) -> None:
        assert BUDGET.fold(self.events) == self.budgets


Machine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestMachine = Machine.TestCase
