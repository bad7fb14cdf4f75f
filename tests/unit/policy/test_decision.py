"""The decision: what each tier may do, in which order refusals come, and that nothing unnamed is ever allowed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.policy.domain.action import ENVIRONMENTS, Action, Mode, Packet
from services.policy.domain.agent import Agent
from services.policy.domain.decision import Verdict, approval_refused, approved, judge
from services.policy.domain.faults import ApprovalPending, ApprovalRejected
from services.policy.domain.quoted import shown
from services.policy.domain.tier import Tier
from tests.unit.policy.words import DEFAULT, SETS, action, agent, question

LEAST = {
    ("diagnostics.memory", "sandbox"): Tier.T0_OBSERVER,
    ("diagnostics.disk", "staging"): Tier.T0_OBSERVER,
    ("diagnostics.unit", "production"): Tier.T0_OBSERVER,
    ("ansible.check", "sandbox"): Tier.T1_OPERATOR,
    ("ansible.check", "production"): Tier.T1_OPERATOR,
    ("service.restart", "sandbox"): Tier.T2_BUILDER,
    ("service.restart", "staging"): Tier.T3_EXECUTOR,
    ("service.restart", "production"): Tier.T3_EXECUTOR,
    ("network.block_source", "staging"): Tier.T3_EXECUTOR,
    ("node.drain", "sandbox"): Tier.T3_EXECUTOR,
    ("storage.expand", "staging"): Tier.T3_EXECUTOR,
    ("storage.expand", "production"): Tier.T4_ARCHITECT,
    ("hardware.replace", "sandbox"): Tier.T4_ARCHITECT,
}


@pytest.mark.parametrize(("name", "environment"), LEAST)
@pytest.mark.parametrize("tier", Tier)
def test_a_tier_may_what_it_and_the_lower_ones_may(name: str, environment: str, tier: Tier) -> None:
    judgement = judge(question(action(name, environment), tier=tier))
    least = LEAST[name, environment]
    if list(Tier).index(tier) < list(Tier).index(least):
        assert (judgement.verdict, judgement.reason) == (Verdict.DENY, "TIER_TOO_LOW")
        assert least in judgement.explanation
    elif environment == "production" or tier is Tier.T4_ARCHITECT:
        assert (judgement.verdict, judgement.reason) == (Verdict.NEEDS_APPROVAL, "APPROVAL_REQUIRED")
    else:
        assert (judgement.verdict, judgement.reason) == (Verdict.ALLOW, "ALLOWED_BY_TIER")
        assert judgement.rule == f"tier.{least}"
        assert judgement.obligations == ()


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_safe_run_shows_and_does_nothing(environment: str) -> None:
    judgement = judge(question(action(environment=environment), mode=Mode.SAFE))
    assert (judgement.verdict, judgement.reason) == (Verdict.ALLOW, "ALLOWED_DRY_RUN")
    assert judgement.obligations == ("dry_run",)


def test_a_safe_run_shows_nothing_that_the_tier_does_not_allow() -> None:
    judgement = judge(question(action("service.restart"), mode=Mode.SAFE))
    assert (judgement.verdict, judgement.reason) == (Verdict.DENY, "TIER_TOO_LOW")


def test_an_assisted_run_asks_for_everything() -> None:
    judgement = judge(question(mode=Mode.ASSISTED))
    assert (judgement.verdict, judgement.rule) == (Verdict.NEEDS_APPROVAL, "mode.assisted")


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (question(agent_is=Agent(), packet=None, policy=None), "AGENT_UNKNOWN"),
        (question(agent_is=agent(revoked=True), packet=None, policy=None), "AGENT_REVOKED"),
        (question(packet=None, policy=None), "NO_PACKET"),
        (question(packet=Packet("sre-1", "another-task")), "NO_PACKET"),
        (
            question(packet=Packet("sre-1", "task-1", ("x.*",), ("diag*",)), policy=None),
            "FORBIDDEN_BY_PACKET",
        ),
        (question(packet=Packet("sre-1", "task-1", ("x.*",)), policy=None), "OUT_OF_SCOPE"),
        (question(policy=None), "POLICY_SET_INVALID"),
        (question(action("rm.everything", "moon"), mode=None), "ACTION_UNKNOWN"),
        (question(action(environment="moon"), mode=None), "ENVIRONMENT_NOT_ALLOWED"),
        (question(action("service.restart"), mode=None), "TIER_TOO_LOW"),
        (question(mode=None), "MODE_UNKNOWN"),
    ],
)
def test_the_first_refusal_wins(asked, reason) -> None:  # type: ignore[no-untyped-def]
    judgement = judge(asked)
    assert (judgement.verdict, judgement.reason) == (Verdict.DENY, reason)
    assert judgement.rule
    assert judgement.explanation.endswith(".")


def test_what_it_takes_is_something_that_somebody_can_do() -> None:
    """Packets are issued, and approvals requested, by runs alone: no key may."""
    lacking = judge(question(packet=None))
    assert "a run gives it one (provost run AGENT TASK ...)" in lacking.explanation
    assert [(change.what, change.to, change.by) for change in lacking.changes] == [
        ("packet", "that of a run for this task", "operator")
    ]
    asking = judge(question(mode=Mode.ASSISTED))
    assert "a run requests it by itself, and approvers answer" in asking.explanation


def test_another_environment_is_named_where_one_allows_the_action() -> None:
    document = SETS.default_document
    some = document.replace("actions: [hardware.replace, node.drain", "actions: [node.drain")
    policy = SETS.check(
        some.replace("sandbox, staging, production]\n        targets", "sandbox]\n        targets")
    )
    narrowed = judge(question(action("node.drain", "production"), policy=policy))
    assert narrowed.explanation.endswith("in production: it would take another environment or policy set.")
    nowhere = judge(question(action("hardware.replace", "production"), policy=policy))
    assert nowhere.explanation.endswith("in production: it would take another policy set.")
    assert narrowed.reason == nowhere.reason == "ENVIRONMENT_NOT_ALLOWED"


def test_a_scope_that_names_the_action_leaves_it_to_the_tier() -> None:
    packet = Packet("sre-1", "task-1", ("diagnostics.*",), ("service.*",))
    assert judge(question(packet=packet)).reason == "ALLOWED_BY_TIER"


texts = st.text(max_size=30)
names = st.sampled_from(sorted(DEFAULT.actions)) | texts
environments = st.sampled_from(ENVIRONMENTS) | texts


@given(names, environments, texts, st.sampled_from(Tier), st.sampled_from([*Mode, None]))
def test_nothing_is_allowed_that_the_table_does_not_name(
    name: str, environment: str, target: str, tier: Tier, mode: Mode | None
) -> None:
    judgement = judge(question(Action("a1", name, target, environment, {}), tier=tier, mode=mode))
    row = DEFAULT.row(tier, environment, name)
    if row is None or mode is None:
        assert judgement.verdict is Verdict.DENY
    if judgement.verdict is not Verdict.DENY:
        assert name in DEFAULT.actions
        assert environment in ENVIRONMENTS
    if judgement.verdict is Verdict.ALLOW and mode is not Mode.SAFE:
        assert mode is Mode.AUTO
        assert row is not None
        assert row.approval_rule is None
    assert judgement.explanation.isprintable()


@given(texts, st.lists(texts, max_size=3), st.lists(texts, max_size=3))
def test_a_packet_only_ever_takes_away(name: str, scope: list[str], forbidden: list[str]) -> None:
    asked = action(name)
    free = judge(question(asked, tier=Tier.T3_EXECUTOR))
    bound = judge(
        question(
            asked, tier=Tier.T3_EXECUTOR, packet=Packet("sre-1", "task-1", tuple(scope), tuple(forbidden))
        )
    )
    assert bound == free or bound.verdict is Verdict.DENY


def test_a_good_approval_allows_and_a_bad_one_denies() -> None:
    needs = judge(question(mode=Mode.ASSISTED))
    assert approved(needs, "ap1").verdict is Verdict.ALLOW
    assert approved(needs, "ap1").reason == "ALLOWED_BY_APPROVAL"
    assert approval_refused(needs, ApprovalPending("ap1")).verdict is Verdict.NEEDS_APPROVAL
    refused = approval_refused(needs, ApprovalRejected("ap1", "key:ann"))
    assert (refused.verdict, refused.reason) == (Verdict.DENY, "APPROVAL_REJECTED")


@given(st.text())
def test_what_is_shown_is_inert(text: str) -> None:
    assert shown(text).isascii()
    assert shown(text).isprintable()
    assert len(shown("x" * 500)) < 100
