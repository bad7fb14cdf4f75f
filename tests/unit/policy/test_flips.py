"""What becomes of a recorded decision under another set: who had the last word keeps it."""

from dataclasses import replace

import pytest

from services.policy.domain.decision import DecisionRecord, Judgement, Verdict
from services.policy.domain.flips import (
    MOST_NAMED,
    Simulation,
    Tally,
    Then,
    as_then,
    at_tier,
    counts_anew,
    decided_elsewhere,
    flip_of,
)
from services.policy.domain.policyset_rules import ApprovalRule
from services.policy.domain.tier import Tier
from tests.fakes.decided_history import AT, DEFAULT, SETS, an_agent, changed, decided

ALLOW = Judgement(Verdict.ALLOW, "tier.T1_OPERATOR", "ALLOWED_BY_TIER", "")
DENY = Judgement(Verdict.DENY, "tier.T1_OPERATOR", "TIER_TOO_LOW", "")
BUDGETED = SETS.read(
    changed(
        "b",
        ("promotions:\n", "budgets:\n  - id: few\n    scope: run\n    limits: {actions: 3}\n\npromotions:\n"),
    )
)


def asks(rule: str) -> Judgement:
    return Judgement(Verdict.NEEDS_APPROVAL, rule, "APPROVAL_REQUIRED", "")


def recorded(verdict: Verdict, reason: str, rule: str = "approval.production", approval_id: str = "") -> Then:
    record = replace(decided(), verdict=verdict, reason=reason, rule=rule, approval_id=approval_id)
    return Then(record, an_agent(), None, DEFAULT)


APPROVED = recorded(Verdict.ALLOW, "ALLOWED_BY_APPROVAL", approval_id="a-1")
REJECTED = recorded(Verdict.DENY, "APPROVAL_REJECTED", approval_id="a-1")


def test_an_approval_holds_where_the_same_rule_asks_in_the_same_words() -> None:
    assert as_then(APPROVED, asks("approval.production"), DEFAULT).verdict is Verdict.ALLOW
    assert as_then(REJECTED, asks("approval.production"), DEFAULT).verdict is Verdict.DENY
    assert as_then(APPROVED, asks("approval.architect"), DEFAULT).verdict is Verdict.NEEDS_APPROVAL
    stricter = SETS.read(SETS.default_document)
    rule: ApprovalRule = stricter.approval_rules["approval.production"]
    stricter.approval_rules = stricter.approval_rules | {"approval.production": replace(rule, needs=2)}
    assert as_then(APPROVED, asks("approval.production"), stricter).verdict is Verdict.NEEDS_APPROVAL


def test_what_needs_no_approval_any_more_needs_none() -> None:
    assert as_then(APPROVED, ALLOW, DEFAULT).reason == "ALLOWED_BY_TIER"
    assert as_then(REJECTED, ALLOW, DEFAULT).verdict is Verdict.ALLOW
    waits = recorded(Verdict.NEEDS_APPROVAL, "APPROVAL_REQUIRED")
    assert as_then(waits, asks("approval.production"), DEFAULT).verdict is Verdict.NEEDS_APPROVAL


@pytest.mark.parametrize("reason", ["OPA_DENIED", "OPA_UNREACHABLE"])
def test_the_word_of_opa_stays_unless_the_set_refuses_by_itself(reason: str) -> None:
    said = recorded(Verdict.DENY, reason, "opa.x")
    assert as_then(said, ALLOW, DEFAULT).reason == reason
    assert as_then(said, DENY, DEFAULT).reason == "TIER_TOO_LOW"


def test_a_spent_budget_stays_spent_where_budgets_are_the_same() -> None:
    spent = recorded(Verdict.DENY, "BUDGET_SPENT", "budget.set.few")
    assert as_then(spent, ALLOW, DEFAULT).reason == "BUDGET_SPENT"
    assert not counts_anew(spent, DEFAULT)
    assert as_then(spent, ALLOW, BUDGETED).verdict is Verdict.ALLOW  # and is counted anew: see `spending`
    assert counts_anew(spent, BUDGETED)
    by_hand = recorded(Verdict.DENY, "BUDGET_SPENT", "budget.hand")
    assert as_then(by_hand, ALLOW, BUDGETED).reason == "BUDGET_SPENT"


def test_a_token_that_was_no_good_is_nothing_a_set_can_change() -> None:
    assert decided_elsewhere(recorded(Verdict.DENY, "TOKEN_EXPIRED", "token").record)
    assert not decided_elsewhere(APPROVED.record)


def test_only_another_verdict_is_a_flip() -> None:
    record = APPROVED.record
    assert flip_of(record, ALLOW) is None
    flip = flip_of(record, DENY)
    assert flip is not None
    assert (flip.before, flip.before_reason, flip.after, flip.after_reason) == (
        Verdict.ALLOW,
        "ALLOWED_BY_APPROVAL",
        Verdict.DENY,
        "TIER_TOO_LOW",
    )


def test_the_tier_is_that_of_the_decision() -> None:
    agent, record = an_agent(tier=Tier.T3_EXECUTOR), decided()
    assert at_tier(agent, record).tier is Tier.T1_OPERATOR
    unknown: DecisionRecord = replace(record, tier=None)
    assert at_tier(agent, unknown) is agent


def test_a_simulation_covers_its_half_open_time_and_its_agent() -> None:
    asked = Simulation("default", "x", AT, AT.replace(second=10), "sre-1")
    covered = [asked.covers(decided(after_seconds=second)) for second in (-1, 0, 9.9, 10)]
    assert covered == [False, True, True, False]
    assert not asked.covers(decided(agent=an_agent("sre-2")))
    assert Simulation("default", "x").covers(decided(after_seconds=10**6))


def test_counts_are_bounded_and_add_up() -> None:
    tally = Tally()
    for n in range(MOST_NAMED + 50):
        flip = flip_of(decided(agent=an_agent(f"agent-{n}")), DENY)
        assert flip is not None
        tally.count(flip)
    totals = tally.totals(7, 0.5)
    assert len(totals.by_agent) == MOST_NAMED + 1
    assert sum(totals.by_agent.values()) == totals.flips == MOST_NAMED + 50
    assert totals.by_agent["*"] == 50
    assert totals.by_action == {"diagnostics.memory": MOST_NAMED + 50}
