"""The order of decision over everything it may rest on: the first refusal wins, nothing unknown is allowed."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.policy.domain.action import Mode, Packet
from services.policy.domain.agent import AGENT, Agent, AgentRegistered
from services.policy.domain.amounts import Unit
from services.policy.domain.checks import EARLY, LATE
from services.policy.domain.decision import Question, Verdict, all_changes, judge, looked_at, powerless
from services.policy.domain.drawing import BudgetRefusal
from services.policy.domain.policyset import PolicySet
from services.policy.domain.policyset_rules import Capability, FlowRule, RegoModule, Rules
from services.policy.domain.reservation import BudgetScope
from services.policy.domain.rules import SILENCE, RuleOutcome, Said
from services.policy.domain.standing import AgentSuspended
from services.policy.domain.tier import Tier
from tests.unit.policy.words import AT, DEFAULT, PACKET, action, agent, question

FLOW = FlowRule("no-secrets-out", ("secret",), ("diagnostics.*",), ("sandbox",), ("*",))
SPENT = BudgetRefusal("set.daily", BudgetScope.AGENT, "sre-1", Unit.ACTIONS, 3, 2, 1, 1, None)
DENIES = RuleOutcome(denied=(Said("no-fridays", "it is Friday"),))
FAILED = RuleOutcome(failed="timeout")
ASKS = RuleOutcome(approvals=(Said("two-eyes", "somebody should look"),))


def policy_set(*, flows: bool = False, rego: bool = False) -> PolicySet:
    rules = Rules(
        flows=(FLOW,) if flows else (), rego=(RegoModule("no-fridays", "package x"),) if rego else ()
    )
    may = Capability(Tier.T1_OPERATOR, ("diagnostics.*",), ("sandbox",), ("*",))
    return PolicySet("2", {"diagnostics.memory": ""}, dict.fromkeys(Tier, 60), (may,), (), rules)


def suspended() -> Agent:
    events = (
        AgentRegistered("sre-1", Tier.T1_OPERATOR, "1.0", "role", AT),
        AgentSuspended("sre-1", "", "key:ops", AT),
    )
    return AGENT.fold(events)


ALL_RULES = policy_set(flows=True, rego=True)
GOOD = replace(question(policy=ALL_RULES), rules=SILENCE, opa=SILENCE, asks_opa=True)

IN_ORDER = (
    ("AGENT_UNKNOWN", {"agent": Agent()}),
    ("AGENT_REVOKED", {"agent": agent(revoked=True)}),
    ("AGENT_SUSPENDED", {"agent": suspended()}),
    ("NO_PACKET", {"packet": None}),
    ("FORBIDDEN_BY_PACKET", {"packet": replace(PACKET, forbidden=("*",))}),
    ("OUT_OF_SCOPE", {"packet": replace(PACKET, scope=("ansible.*",))}),
    ("REQUIRED_STEP_SKIPPED", {"packet": replace(PACKET, required_steps=("PLAN",))}),
    ("BUDGET_SPENT", {"shortage": SPENT}),
    ("POLICY_SET_INVALID", {"policy": None}),
    ("ACTION_UNKNOWN", {"action": action("rm.all")}),
    ("MODE_UNKNOWN", {"mode": None}),
    ("FLOW_DENIED", {"labels": ("secret",)}),
    ("RULE_DENIED", {"rules": DENIES}),
    ("OPA_DENIED", {"opa": DENIES}),
)
"""Each refusal, and what brings it about in a question that is allowed without."""


def test_without_any_of_it_it_is_allowed() -> None:
    assert judge(GOOD).reason == "ALLOWED_BY_TIER"


@given(st.sets(st.sampled_from(range(len(IN_ORDER))), min_size=1))
def test_the_first_refusal_wins(chosen: set[int]) -> None:
    asked = GOOD
    taken: set[str] = set()
    for n in sorted(chosen):  # of several that are about one thing the first counts
        fields = IN_ORDER[n][1]
        if taken.isdisjoint(fields):
            asked = replace(asked, **fields)
            taken |= set(fields)
    judgement = judge(asked)
    assert (judgement.verdict, judgement.reason) == (Verdict.DENY, IN_ORDER[min(chosen)][0])
    assert judgement.changes
    assert all(each.what and each.to and each.by for each in judgement.changes)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"labels": None}, "FLOW_DENIED"),
        ({"rules": None}, "RULE_FAILED"),
        ({"rules": FAILED}, "RULE_FAILED"),
        ({"opa": None}, "OPA_UNREACHABLE"),
        ({"opa": FAILED}, "OPA_UNREACHABLE"),
    ],
)
def test_what_is_not_known_is_refused(fields: dict[str, object], reason: str) -> None:
    judgement = judge(replace(GOOD, **fields))  # type: ignore[arg-type]
    assert (judgement.verdict, judgement.reason) == (Verdict.DENY, reason)


def test_a_dry_run_needs_no_steps_and_everything_else_does() -> None:
    packet = replace(PACKET, required_steps=("PLAN", "BOOTSTRAP", "VERIFY"))
    dry = question(packet=packet, mode=Mode.SAFE)
    assert judge(dry).reason == "ALLOWED_DRY_RUN"
    judgement = judge(replace(dry, mode=Mode.AUTO, steps_done=("PLAN",)))
    assert judgement.reason == "REQUIRED_STEP_SKIPPED"
    assert [(each.what, each.to) for each in judgement.changes] == [("step", "BOOTSTRAP")]
    # VERIFY comes after what is asked for: nobody can have been through it.
    done = replace(dry, mode=Mode.AUTO, steps_done=("BOOTSTRAP", "PLAN"))
    assert judge(done).reason == "ALLOWED_BY_TIER"


def test_a_rule_may_ask_for_people() -> None:
    judgement = judge(replace(GOOD, rules=ASKS))
    assert (judgement.verdict, judgement.rule) == (Verdict.NEEDS_APPROVAL, "rule.two-eyes")
    assert judge(replace(GOOD, opa=ASKS)).rule == "opa.two-eyes"


def test_too_low_a_tier_is_told_everything_it_would_take() -> None:
    judgement = judge(question(action("hardware.replace"), tier=Tier.T1_OPERATOR))
    tier, approval = judgement.changes
    assert (tier.what, tier.to, approval.what) == ("tier", "T4_ARCHITECT", "approval")


def test_suspended_and_revoked_agents_have_no_power() -> None:
    assert powerless(agent()) is None
    lost = powerless(suspended())
    assert lost is not None
    assert lost.reason == "AGENT_SUSPENDED"
    gone = powerless(agent(revoked=True))
    assert gone is not None
    assert gone.reason == "AGENT_REVOKED"


outcomes = st.sampled_from([None, SILENCE, DENIES, FAILED, ASKS])
questions = st.builds(
    Question,
    action=st.builds(action, st.sampled_from(["diagnostics.memory", "hardware.replace", "rm.all"])),
    mode=st.sampled_from([None, *Mode]),
    agent_id=st.just("sre-1"),
    task_id=st.sampled_from(["task-1", "task-2"]),
    agent=st.sampled_from([Agent(), suspended(), agent(revoked=True), agent(), agent(Tier.T4_ARCHITECT)]),
    packet=st.sampled_from(
        [None, PACKET, Packet("sre-1", "task-1", ("diag*",), ("rm.*",), ("PLAN",))],
    ),
    policy=st.sampled_from([None, DEFAULT, policy_set(), ALL_RULES]),
    labels=st.sampled_from([None, (), ("secret",), ("public",)]),
    steps_done=st.sampled_from([(), ("PLAN",)]),
    shortage=st.sampled_from([None, SPENT]),
    rules=outcomes,
    opa=outcomes,
    asks_opa=st.booleans(),
)


@given(questions)
def test_only_what_every_check_lets_pass_is_not_denied(asked: Question) -> None:
    judgement = judge(asked)
    refusing = []
    for check in EARLY + LATE:  # each by itself, as far as what it looks at is there
        if not check.can_look(asked):
            refusing.append(check.into)
        elif check.refusal(asked) is not None:
            refusing.append(check.rule)
    assert (judgement.verdict is Verdict.DENY) == bool(refusing)
    assert judgement.explanation.isprintable()
    assert bool(judgement.changes) == (judgement.verdict is not Verdict.ALLOW)


@given(questions)
def test_what_explain_looks_at_ends_where_the_judgement_comes_from(asked: Question) -> None:
    judgement, looked = judge(asked), list(looked_at(asked))
    assert all(each.passed for each in looked[:-1])
    assert looked[-1].passed == (judgement.verdict is Verdict.ALLOW)
    if judgement.verdict is not Verdict.ALLOW:
        assert looked[-1].text == judgement.explanation
    if judgement.verdict is Verdict.DENY:
        assert looked[-1].rule == judgement.rule


@given(questions)
def test_all_changes_begin_with_those_of_the_judgement(asked: Question) -> None:
    changes, first = all_changes(asked), judge(asked).changes
    assert changes[: len(first)] == first
    assert len(set(changes)) == len(changes)


def test_everything_it_would_take_is_told_at_once() -> None:
    packet = replace(PACKET, scope=("ansible.*",))
    asked = question(action("hardware.replace"), packet=packet, tier=Tier.T1_OPERATOR)
    assert [each.what for each in all_changes(asked)] == ["packet", "tier", "approval"]
    higher = replace(asked, agent=agent(Tier.T4_ARCHITECT))
    assert [each.what for each in all_changes(higher)] == ["packet", "approval"]
