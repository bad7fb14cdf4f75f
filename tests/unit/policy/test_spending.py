"""What would have been spent under another set: counted as the decisions go by, settled as the log says."""

from dataclasses import replace
from datetime import timedelta

from services.policy.adapters.rego.rules import RegoRules
from services.policy.adapters.simulating.deciding import Deciding
from services.policy.domain.action import Mode, Packet
from services.policy.domain.amounts import Amounts
from services.policy.domain.closing import Closing, ReservationsClosed
from services.policy.domain.decision import DecisionRecord
from services.policy.domain.drawing import BudgetRefusal
from services.policy.domain.flips import FlipCounts, Happened, Then
from services.policy.domain.reservation import Reservation, ReservationEnd
from services.policy.domain.spending import SetAside, Spending
from services.policy.domain.tier import Tier
from tests.fakes.decided_history import AT, DEFAULT, SETS, an_agent, changed, decided

BUDGETS = """budgets:
  - id: few
    scope: agent
    limits: {tokens: 10}
    window_seconds: 3600
  - id: narrow
    scope: run
    limits: {hosts: 2}

promotions:
"""
RULES = SETS.read(changed("b", ("promotions:\n", BUDGETS))).rules


def asked(tokens: int = 4, **fields: object) -> DecisionRecord:
    return replace(decided(**fields), cost=Amounts(tokens=tokens))  # type: ignore[arg-type]


def closing(record: DecisionRecord, tokens: int) -> Closing:
    charged = Amounts(1, tokens, hosts=(record.action.target,)) if tokens else Amounts()
    return Closing(f"d-{record.decision_id}", ReservationEnd.SETTLED, charged, "service:tests", AT)


def refusal(spending: Spending, record: DecisionRecord) -> BudgetRefusal | None:
    return spending.refusal(record, record.action.target)


def spend(spending: Spending, record: DecisionRecord, *, reserved: bool) -> None:
    spending.spend(record, record.action.target, reserved=reserved)


def test_what_does_not_fit_any_more_is_refused_and_begins_anew_with_its_window() -> None:
    spending = Spending(RULES)
    for _ in range(2):
        assert refusal(spending, asked()) is None
        spend(spending, asked(), reserved=False)
    short = refusal(spending, asked())
    assert short is not None
    assert (short.budget_id, short.most, short.spent) == ("set.few", 10, 8)
    assert refusal(spending, asked(tokens=2)) is None
    assert refusal(spending, asked(after_seconds=3600)) is None


def test_what_was_settled_counts_as_it_was_settled() -> None:
    spending, first = Spending(RULES), asked(tokens=10)
    spend(spending, first, reserved=True)
    assert refusal(spending, asked(tokens=1)) is not None
    spending.closed([closing(first, 3)])
    assert refusal(spending, asked(tokens=7)) is None
    assert refusal(spending, asked(tokens=8)) is not None


def test_what_was_set_aside_without_a_decision_is_spent_as_it_was_settled() -> None:
    def set_aside(number: int, tokens: int, agent_id: str = "sre-1") -> SetAside:
        amounts, ttl = Amounts(tokens=tokens), timedelta(minutes=5)
        made = Reservation(f"r-{number}", agent_id, "run-1", "task-1", amounts, (), "", AT, AT + ttl)
        return SetAside(made, Tier.T1_OPERATOR)

    spending = Spending(RULES)
    spending.set_aside(set_aside(1, 8))
    spending.set_aside(set_aside(2, 9))  # there would not have been enough left for it
    spending.set_aside(set_aside(3, 9, "sre-2"))
    assert refusal(spending, asked(tokens=3)) is not None
    spending.closed([
        Closing("r-1", ReservationEnd.SETTLED, Amounts(tokens=1), "service:tests", AT),
        Closing("r-2", ReservationEnd.SETTLED, Amounts(tokens=9), "service:tests", AT),
    ])  # fmt: skip
    assert refusal(spending, asked(tokens=9)) is None
    assert refusal(spending, asked(tokens=10)) is not None


def test_hosts_are_counted_once() -> None:
    spending = Spending(RULES)
    for target in ("a", "b", "a"):
        record = asked(tokens=0, target=target)
        assert refusal(spending, record) is None
        spend(spending, record, reserved=False)
    short = refusal(spending, asked(tokens=0, target="c"))
    assert short is not None
    assert short.budget_id == "set.narrow"
    assert refusal(spending, asked(tokens=0, target="c", run_id="another")) is None


def test_a_safe_run_spends_nothing() -> None:
    spending = Spending(RULES)
    for _ in range(9):
        spend(spending, asked(tokens=9, mode=Mode.SAFE), reserved=False)
    assert refusal(spending, asked(tokens=10)) is None


def test_what_came_later_in_the_log_counts_later() -> None:
    """Read together or not: what was given back after a decision had not been given back before it."""
    few = SETS.read(changed("b", ("promotions:\n", BUDGETS.replace("tokens: 10", "actions: 1"))))
    first, second, third = (Then(decided(), an_agent(), Packet("sre-1", "task-1"), DEFAULT) for _ in range(3))
    refund = Closing(f"d-{first.record.decision_id}", ReservationEnd.REFUNDED, Amounts(), "service:tests", AT)
    happened: list[Happened] = [replace(first, reserved=True), second, ReservationsClosed((refund,)), third]
    flips = Deciding(few, RegoRules(), FlipCounts()).flips(happened)
    assert [each.decision_id for each in flips] == [second.record.decision_id]
