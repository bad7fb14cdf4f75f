"""How many people an action needs where several rules ask: all of them are satisfied, or it is not approved."""

from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.policy.domain.action import Action
from services.policy.domain.approval import enough
from services.policy.domain.demand import PROMOTE, asked_of_promotion, demand_of
from services.policy.domain.policyset import PolicySet
from services.policy.domain.policyset_rules import ApprovalRule, Capability
from services.policy.domain.tier import Tier
from tests.unit.policy.test_approval import REQUEST, USE, YES, after

PEOPLE = tuple(f"key:{name}" for name in ("ann", "bob", "cec", "dan", "eve"))
ANN, BOB, CEC = PEOPLE[:3]
DRAIN = Action("a1", "node.drain", "web1", "production", {})


def rule(needs: int, *named: str, ttl_seconds: int = 600, id_: str = "r") -> ApprovalRule:
    return ApprovalRule(id_, tuple(Tier), ("*",), ("production",), needs, named, ttl_seconds)


def a_set(*rules: ApprovalRule) -> PolicySet:
    named = tuple(
        ApprovalRule(f"r{n}", r.tiers, r.actions, r.environments, r.needs, r.approvers, r.ttl_seconds)
        for n, r in enumerate(rules)
    )
    can = Capability(Tier.T1_OPERATOR, ("node.drain",), ("production",), ("*",))
    return PolicySet("1", {"node.drain": ""}, dict.fromkeys(Tier, 60), (can,), named)


@pytest.mark.parametrize(
    ("rules", "needed", "asked"),
    [
        ((rule(1), rule(3), rule(2)), 3, ()),
        ((rule(1), rule(1, ANN, BOB)), 1, (ANN, BOB)),
        ((rule(2), rule(1, ANN, BOB)), 2, (ANN, BOB)),
        ((rule(1, ANN, BOB), rule(1, BOB, CEC)), 1, (BOB,)),
        ((rule(1, ANN), rule(1, BOB)), 2, (ANN, BOB)),
        ((rule(2, ANN, BOB), rule(1, CEC)), 3, (ANN, BOB, CEC)),
        ((rule(1, ANN), rule(3)), 3, ()),
    ],
)
def test_whom_is_asked(rules: tuple[ApprovalRule, ...], needed: int, asked: tuple[str, ...]) -> None:
    for first_in_the_set in (rules, rules[::-1]):
        demand = demand_of(a_set(*first_in_the_set), "approval.r0", Tier.T3_EXECUTOR, DRAIN)
        assert (demand.rule, demand.needed, set(demand.approvers)) == ("approval.r0", needed, set(asked))
    assert asked_of_promotion(a_set(*rules), Tier.T3_EXECUTOR).needed == needed, f"the same for {PROMOTE}"


def test_the_shortest_time_holds_and_a_rule_that_asks_alone_asks_alone() -> None:
    policy = a_set(rule(1, ttl_seconds=900), rule(1, ttl_seconds=60))
    assert demand_of(policy, "approval.r0", Tier.T3_EXECUTOR, DRAIN).ttl_seconds == 60
    assert demand_of(policy, "mode.assisted", Tier.T3_EXECUTOR, DRAIN).parts == ()
    elsewhere = Action("a1", "node.drain", "web1", "staging", {})
    assert demand_of(policy, "approval.r0", Tier.T3_EXECUTOR, elsewhere).ttl_seconds == 900


def test_a_promotion_asks_whom_the_tier_it_leads_to_asks() -> None:
    top = ApprovalRule("top", (Tier.T4_ARCHITECT,), ("*",), ("production",), 2)
    policy = PolicySet("1", {"node.drain": ""}, dict.fromkeys(Tier, 60), (), (top,))
    asked = asked_of_promotion(policy, Tier.T3_EXECUTOR)
    assert (asked.rule, asked.needed) == ("approval.top", 2)
    assert asked_of_promotion(policy, Tier.T2_BUILDER).rule == "promotion"


people = st.sets(st.sampled_from(PEOPLE), max_size=4).map(lambda found: tuple(sorted(found)))
rules_ = st.lists(st.tuples(st.integers(1, 3), people), min_size=1, max_size=4).map(
    lambda pairs: tuple(rule(min(needs, len(named)) if named else needs, *named) for needs, named in pairs)
)


@given(rules_, st.sets(st.sampled_from(PEOPLE)))
def test_enough_is_what_every_rule_finds_enough(rules: tuple[ApprovalRule, ...], yes: Iterable[str]) -> None:
    demand = demand_of(a_set(*rules), "approval.r0", Tier.T3_EXECUTOR, DRAIN)
    said = frozenset(yes)
    each = [len(said.intersection(r.approvers) if r.approvers else said) >= r.needs for r in rules]
    assert demand.met_by(said) == all(each)
    everybody = frozenset(demand.approvers or PEOPLE)
    assert demand.needed <= len(everybody), "there are as many as are asked for"
    assert demand.met_by(frozenset(PEOPLE)), "and it can be met"
    if demand.approvers:
        assert demand.met_by(everybody), "by those who are asked"


@given(rules_, st.permutations(PEOPLE))
def test_it_is_approved_with_the_yes_that_lets_it_be_used(
    rules: tuple[ApprovalRule, ...], order: list[str]
) -> None:
    demand = demand_of(a_set(*rules), "approval.r0", Tier.T3_EXECUTOR, DRAIN)
    asked = replace(
        REQUEST, rule=demand.rule, needed=demand.needed, approvers=demand.approvers, parts=demand.parts
    )
    approval, use = after(asked), replace(USE, demand=demand)
    for person in order:
        if demand.approvers and person not in demand.approvers:
            continue
        approval = after(replace(YES, by=person), begun=approval)
        if enough(approval, demand):
            assert after(use, begun=approval).used is not None
            return
        assert approval.answered is None, "it says approved, and may not be used"
    raise AssertionError("everybody who is asked said yes, and it is not approved")
