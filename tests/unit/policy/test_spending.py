"""What would have been spent under another set: counted as the decisions go by, settled as the log says."""

from dataclasses import replace

from services.policy.domain.action import Mode
from services.policy.domain.amounts import Amounts
from services.policy.domain.closing import Closing
from services.policy.domain.decision import DecisionRecord
from services.policy.domain.reservation import ReservationEnd
from services.policy.domain.spending import Spending
from tests.fakes.decided_history import AT, SETS, changed, decided

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


def test_what_does_not_fit_any_more_is_refused_and_begins_anew_with_its_window() -> None:
    spending = Spending(RULES)
    for _ in range(2):
        assert spending.refusal(asked()) is None
        spending.spend(asked(), reserved=False)
    short = spending.refusal(asked())
    assert short is not None
    assert (short.budget_id, short.most, short.spent) == ("set.few", 10, 8)
    assert spending.refusal(asked(tokens=2)) is None
    assert spending.refusal(asked(after_seconds=3600)) is None


def test_what_was_settled_counts_as_it_was_settled() -> None:
    spending, first = Spending(RULES), asked(tokens=10)
    spending.spend(first, reserved=True)
    assert spending.refusal(asked(tokens=1)) is not None
    spending.closed([closing(first, 3)])
    assert spending.refusal(asked(tokens=7)) is None
    assert spending.refusal(asked(tokens=8)) is not None


def test_a_closing_that_is_read_with_its_decision_counts_too() -> None:
    spending, first = Spending(RULES), asked(tokens=10)
    spending.closed([closing(first, 0)])
    spending.spend(first, reserved=True)
    assert spending.refusal(asked(tokens=10)) is None
    spending.settled()
    again = asked(tokens=10)
    spending.spend(again, reserved=True)
    assert spending.refusal(asked(tokens=1)) is not None


def test_hosts_are_counted_once() -> None:
    spending = Spending(RULES)
    for target in ("a", "b", "a"):
        record = asked(tokens=0, target=target)
        assert spending.refusal(record) is None
        spending.spend(record, reserved=False)
    short = spending.refusal(asked(tokens=0, target="c"))
    assert short is not None
    assert short.budget_id == "set.narrow"
    assert spending.refusal(asked(tokens=0, target="c", run_id="another")) is None


def test_a_safe_run_spends_nothing() -> None:
    spending = Spending(RULES)
    for _ in range(9):
        spending.spend(asked(tokens=9, mode=Mode.SAFE), reserved=False)
    assert spending.refusal(asked(tokens=10)) is None
