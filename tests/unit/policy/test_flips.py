"""What becomes of a recorded decision under another set: who had the last word keeps it."""

from dataclasses import replace
from datetime import timedelta

import pytest

from services.policy.domain.approval import Approval, ApprovalRequested, ApprovalUsed
from services.policy.domain.decision import DecisionRecord, Judgement, Verdict
from services.policy.domain.flips import (
    MOST_NAMED,
    FlipCounts,
    Simulation,
    Then,
    as_then,
    at_tier,
    counts_anew,
    decided_elsewhere,
    flip_of,
)
from services.policy.domain.policyset import PolicySet
from services.policy.domain.tier import Tier
from services.policy.domain.votes import ApprovalAnswered, ApprovalVoted, Vote
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


def given(then: Then, *by: str, approved: bool = True) -> Then:
    """With its approval, answered by these; the last one closes it."""
    record = then.record
    requested = ApprovalRequested(
        record.approval_id, record.action, record.action_digest, record.run_id, record.task_id, record.agent_id,
        "service:orchestrator", "", AT, AT, needed=len(by),
    )  # fmt: skip
    votes = tuple(
        ApprovalVoted(record.approval_id, record.run_id, Vote.APPROVE, each, "", AT) for each in by[:-1]
    )
    answered = ApprovalAnswered(record.approval_id, record.run_id, approved, by[-1], "", AT)
    used = ApprovalUsed(record.approval_id, record.decision_id, record.run_id, AT) if approved else None
    return replace(then, approval=Approval(requested, votes, answered, used))


APPROVED = given(recorded(Verdict.ALLOW, "ALLOWED_BY_APPROVAL", approval_id="a-1"), "key:alice")
REJECTED = recorded(Verdict.DENY, "APPROVAL_REJECTED", approval_id="a-1")


def stricter(needs: int, *approvers: str) -> PolicySet:
    policy = SETS.read(SETS.default_document)
    rule = replace(policy.approval_rules["approval.production"], needs=needs, approvers=approvers)
    policy.approval_rules = policy.approval_rules | {"approval.production": rule}
    return policy


def test_an_approval_holds_where_no_more_and_no_others_are_asked() -> None:
    asked = asks("approval.production")
    assert as_then(APPROVED, asked, DEFAULT).verdict is Verdict.ALLOW
    assert as_then(APPROVED, asks("mode.assisted"), DEFAULT).verdict is Verdict.ALLOW
    assert as_then(REJECTED, asked, DEFAULT).verdict is Verdict.DENY
    assert as_then(APPROVED, asked, stricter(2)).verdict is Verdict.NEEDS_APPROVAL
    two = given(APPROVED, "key:alice", "key:bob")
    assert as_then(two, asked, stricter(2)).verdict is Verdict.ALLOW
    assert as_then(two, asked, stricter(1, "key:bob")).verdict is Verdict.ALLOW
    assert as_then(two, asked, stricter(1, "key:carol")).verdict is Verdict.NEEDS_APPROVAL


def test_an_approval_is_for_exactly_that_and_once() -> None:
    asked = asks("approval.production")
    other = replace(APPROVED, record=replace(APPROVED.record, action_digest="sha256:00"))
    assert as_then(other, asked, DEFAULT).verdict is Verdict.NEEDS_APPROVAL
    spent = replace(APPROVED, record=replace(APPROVED.record, decision_id="another"))
    assert as_then(spent, asked, DEFAULT).verdict is Verdict.NEEDS_APPROVAL
    used = replace(spent, record=replace(spent.record, verdict=Verdict.DENY, reason="APPROVAL_USED"))
    assert as_then(used, asked, DEFAULT).verdict is Verdict.DENY
    assert as_then(replace(APPROVED, approval=None), asked, DEFAULT).verdict is Verdict.NEEDS_APPROVAL


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


def test_a_spent_limit_of_errors_stays_spent_where_it_is_the_same_for_nobody_counts_them_anew() -> None:
    def budgeted(*budgets: str) -> PolicySet:
        listed = "".join(f"  - {{id: {each}}}\n" for each in budgets)
        return SETS.read(changed("b", ("promotions:\n", f"budgets:\n{listed}\npromotions:\n")))

    errors, tokens = "errs, scope: agent, limits: {errors: 1}", "more, scope: agent, limits: {tokens: 9}"
    spent = replace(recorded(Verdict.DENY, "BUDGET_SPENT", "budget.set.errs"), policy=budgeted(errors))
    assert as_then(spent, ALLOW, budgeted(errors, tokens)).reason == "BUDGET_SPENT"
    for other in (errors.replace("1", "2"), errors.replace("agent", "run"), tokens):
        assert as_then(spent, ALLOW, budgeted(other)).verdict is Verdict.ALLOW, other
    of_tokens = replace(
        recorded(Verdict.DENY, "BUDGET_SPENT", "budget.set.more"), policy=budgeted(errors, tokens)
    )
    assert as_then(of_tokens, ALLOW, budgeted(tokens)).verdict is Verdict.ALLOW, "they are counted anew"


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
    covered = [asked.covers(AT + timedelta(seconds=second)) for second in (-1, 0, 9.9, 10)]
    assert covered == [False, True, True, False]
    assert [asked.is_about(each) for each in ("sre-1", "sre-2")] == [True, False]
    ever = Simulation("default", "x")
    assert ever.covers(AT + timedelta(days=11))
    assert ever.is_about("sre-2")


def test_counts_are_bounded_and_add_up() -> None:
    tally = FlipCounts()
    for n in range(MOST_NAMED + 50):
        flip = flip_of(decided(agent=an_agent(f"agent-{n}")), DENY)
        assert flip is not None
        tally.count(flip)
    totals = tally.totals(7, 0.5)
    assert len(totals.by_agent) == MOST_NAMED + 1
    assert sum(totals.by_agent.values()) == totals.flips == MOST_NAMED + 50
    assert totals.by_agent["*"] == 50
    assert totals.by_action == {"diagnostics.memory": MOST_NAMED + 50}
