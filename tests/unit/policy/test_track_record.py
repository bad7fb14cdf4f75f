"""What an agent has shown, and what that asks for: only outcomes count, and a tier moves by one."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.faults import Fault
from services.policy.domain.agent import AGENT, Agent, RegisterAgent
from services.policy.domain.faults import ApproverNotAPerson, ParentInvalid, TierStepTooLarge
from services.policy.domain.outcomes import ErrorNoted, Outcome, RunActed, RunChecked, RunOver
from services.policy.domain.policyset import PolicySet
from services.policy.domain.policyset_rules import DemotionRule, PromotionRule, Rules
from services.policy.domain.standing import (
    AgentDemoted,
    AgentPromoted,
    DemoteAgent,
    Grounds,
    PromoteAgent,
    SuspendAgent,
)
from services.policy.domain.tier import Tier
from services.policy.domain.track_record import NOTHING_SHOWN, TrackRecord, TrackRecords, moves
from tests.unit.policy.words import AT, DEFAULT, agent, later

VIOLATION = ErrorNoted("sre-1", "task-1", "r", True, AT)
ERROR = replace(VIOLATION, violation=False)


def run(run_id: str, **changes: bool) -> list[Outcome]:
    told = {
        "acted": True,
        "verified": True,
        "passed": True,
        "completed": True,
        "refused": False,
        "compliant": True,
    }
    told |= changes
    found: list[Outcome] = [RunActed(run_id, "sre-1")] if told["acted"] else []
    if told["verified"]:
        found.append(RunChecked(run_id, "sre-1", 3, told["passed"]))
    return [*found, RunOver(run_id, "sre-1", told["completed"], told["refused"], told["compliant"])]


def after(*told: Sequence[Outcome]) -> TrackRecord:
    records = TrackRecords()
    for outcomes in told:
        for outcome in outcomes:
            records.take(outcome)
    assert not records.runs, "a run that is over is still held"
    return records.of("sre-1")


@pytest.mark.parametrize(
    ("told", "verified", "in_row", "violations"),
    [
        ([run("a"), run("b")], 2, 2, 0),
        ([run("a"), run("b", acted=False)], 1, 1, 0),
        ([run("a"), run("b", verified=False)], 1, 1, 0),
        ([run("a"), run("b", refused=True, completed=False, acted=False)], 1, 1, 0),
        ([run("a"), run("b", passed=False)], 2, 0, 0),
        ([run("a"), run("b", compliant=False)], 2, 0, 0),
        ([run("a"), run("b", completed=False, compliant=False)], 1, 0, 0),
        ([run("a"), [VIOLATION], run("b")], 2, 1, 1),
        ([run("a"), [ERROR], run("b")], 2, 2, 0),
        ([run("a"), [RunOver("a", "sre-1", True, False, True)]], 1, 1, 0),
        ([[RunOver("a", "", False, False, False)]], 0, 0, 0),
    ],
)
def test_what_counts(told: list[list[Outcome]], verified: int, in_row: int, violations: int) -> None:
    record = after(*told)
    assert (record.verified_runs, record.compliant_in_row, record.violations) == (
        verified,
        in_row,
        violations,
    )
    assert len(record.run_ids) == in_row


def test_at_a_new_tier_it_is_counted_anew() -> None:
    records = TrackRecords()
    for outcome in [*run("a"), VIOLATION, *run("b")]:
        records.take(outcome)
    records.new_tier("sre-1", AT)
    records.new_tier("new", AT)
    assert records.of("sre-1") == TrackRecord(verified_runs=2, violations=1, since=AT)
    assert records.of("new") == TrackRecord(since=AT)
    assert records.of("nobody") is NOTHING_SHOWN


def test_the_newest_runs_are_kept() -> None:
    record = after(*(run(f"r{n}") for n in range(30)))
    assert (record.compliant_in_row, record.run_ids) == (30, tuple(f"r{n}" for n in range(10, 30)))


def policy(*rules: PromotionRule | DemotionRule) -> PolicySet:
    promotions = tuple(each for each in rules if isinstance(each, PromotionRule))
    demotions = tuple(each for each in rules if isinstance(each, DemotionRule))
    return PolicySet(
        "9", DEFAULT.actions, DEFAULT.ttl_seconds, (), (), Rules(promotions=promotions, demotions=demotions)
    )


UP = PromotionRule("steady", Tier.T1_OPERATOR, 3, 1, needs_approval=False)
DOWN = DemotionRule("careless", Tier.T1_OPERATOR, 2)
GOOD = TrackRecord(3, 3, 0, 0, ("a", "b", "c"))


def test_a_move_says_all_that_it_rests_on() -> None:
    move = moves(GOOD, agent(), policy(UP, DOWN), later(5))
    assert move is not None
    assert isinstance(move.command, PromoteAgent)
    assert (move.command.to_tier, move.command.since, move.needs_approval) == (Tier.T2_BUILDER, AT, False)
    grounds = move.command.grounds
    assert (grounds.rule, grounds.policy_version, grounds.by) == ("promotion.steady", "9", "service:policy")
    assert (grounds.compliant_in_row, grounds.violations, grounds.run_ids) == (3, 0, ("a", "b", "c"))
    assert "3 verified, compliant runs in a row" in grounds.why


@pytest.mark.parametrize(
    ("record", "is_", "rules", "to_tier", "asks"),
    [
        (GOOD, agent(), (UP, DOWN), Tier.T2_BUILDER, False),
        (replace(GOOD, compliant_in_row=2), agent(), (UP, DOWN), None, False),
        (replace(GOOD, violations_at_tier=1), agent(), (UP, DOWN), Tier.T2_BUILDER, False),
        (replace(GOOD, violations_at_tier=2), agent(), (UP, DOWN), Tier.T0_OBSERVER, False),
        (replace(GOOD, violations_at_tier=2), agent(), (UP,), None, False),
        (GOOD, agent(), (), None, False),
        (GOOD, agent(Tier.T2_BUILDER), (UP, DOWN), None, False),
        (GOOD, agent(revoked=True), (UP, DOWN), None, False),
        (GOOD, AGENT.initial, (UP, DOWN), None, False),
        (GOOD, agent(), (replace(UP, needs_approval=True),), Tier.T2_BUILDER, True),
        (GOOD, agent(Tier.T3_EXECUTOR), (replace(UP, tier=Tier.T3_EXECUTOR),), Tier.T4_ARCHITECT, True),
        (GOOD, agent(Tier.T4_ARCHITECT), (replace(UP, tier=Tier.T4_ARCHITECT),), None, False),
        (
            replace(GOOD, violations_at_tier=9),
            agent(Tier.T0_OBSERVER),
            (replace(DOWN, tier=Tier.T0_OBSERVER),),
            None,
            False,
        ),
    ],
)
def test_which_move(
    record: TrackRecord,
    is_: Agent,
    rules: tuple[PromotionRule | DemotionRule, ...],
    to_tier: Tier | None,
    asks: bool,
) -> None:
    move = moves(record, is_, policy(*rules), AT)
    assert (move and move.command.to_tier, bool(move and move.needs_approval)) == (to_tier, asks)


@pytest.mark.parametrize("shown", [GOOD, replace(GOOD, violations_at_tier=2)])
def test_what_was_shown_at_one_tier_moves_nobody_from_the_next(shown: TrackRecord) -> None:
    """A move may be known here before its event is read, and the record is then still that of the tier before."""
    rules = policy(UP, DOWN, replace(UP, tier=Tier.T2_BUILDER), replace(DOWN, tier=Tier.T2_BUILDER))
    moved = AGENT.evolve(
        agent(), AgentPromoted("sre-1", Tier.T1_OPERATOR, Tier.T2_BUILDER, BY_HAND, later(9))
    )
    assert moves(shown, moved, rules, later(10)) is None
    assert moves(replace(shown, since=AT), moved, rules, later(10)) is None
    assert moves(replace(shown, since=later(9)), moved, rules, later(10)) is not None


def test_the_suspended_are_not_moved() -> None:
    event = AGENT.decide(agent(), SuspendAgent("sre-1", "odd", "key:ops", AT))
    assert event is not None
    assert moves(GOOD, AGENT.evolve(agent(), event), policy(UP, DOWN), AT) is None


def test_people_are_asked_again_only_after_another_row_as_long() -> None:
    asking = policy(replace(UP, needs_approval=True))
    attempts = [moves(replace(GOOD, compliant_in_row=n), agent(), asking, AT) for n in range(3, 10)]
    assert [move and move.attempt for move in attempts] == [1, 1, 1, 2, 2, 2, 3]


BY_HAND = Grounds("", "", "key:root")


def test_what_cannot_be_moved() -> None:
    up = PromoteAgent("sre-1", Tier.T2_BUILDER, BY_HAND, AT)
    for command, fault in (
        (replace(up, to_tier=Tier.T3_EXECUTOR), TierStepTooLarge),
        (DemoteAgent("sre-1", Tier.T2_BUILDER, BY_HAND, AT), TierStepTooLarge),
        (replace(up, parent_agent_id="boss", parent_tier=Tier.T1_OPERATOR), ParentInvalid),
        (replace(up, grounds=Grounds("", "", "agent:sre-1")), ApproverNotAPerson),
    ):
        with pytest.raises(fault):
            AGENT.decide(agent(), command)
    assert AGENT.decide(agent(), replace(up, since=later(1))) is None, "its tier is another one since"
    assert AGENT.decide(agent(), replace(up, since=AT)) is not None
    down = DemoteAgent("sre-1", Tier.T0_OBSERVER, BY_HAND, AT)
    assert AGENT.decide(agent(), replace(down, since=later(1))) is None, "its tier is another one since"
    assert AGENT.decide(agent(), replace(down, since=AT)) is not None


def test_who_may_not_control_an_agent() -> None:
    want = RegisterAgent("new", Tier.T2_BUILDER, "1", "role", AT, "sre-1")
    boss = agent(Tier.T2_BUILDER)
    assert AGENT.decide(AGENT.initial, replace(want, parent=boss)) is not None
    for parent in (None, AGENT.initial, agent(), agent(Tier.T3_EXECUTOR, revoked=True)):
        with pytest.raises(ParentInvalid):
            AGENT.decide(AGENT.initial, replace(want, parent=parent))
    with pytest.raises(ParentInvalid):
        AGENT.decide(AGENT.initial, replace(want, agent_id="sre-1", parent=boss))


COMMANDS = st.one_of(
    st.builds(PromoteAgent, st.just("sre-1"), st.sampled_from(Tier), st.just(BY_HAND), st.just(AT)),
    st.builds(DemoteAgent, st.just("sre-1"), st.sampled_from(Tier), st.just(BY_HAND), st.just(AT)),
)


@given(st.lists(COMMANDS, max_size=30))
def test_never_two_tiers_at_once(commands: list[PromoteAgent | DemoteAgent]) -> None:
    tiers, is_ = tuple(Tier), agent()
    for command in commands:
        try:
            event = AGENT.decide(is_, command)
        except Fault:
            continue
        if event is None:
            assert command.to_tier is is_.tier
            continue
        assert isinstance(event, AgentPromoted | AgentDemoted)
        step = 1 if isinstance(event, AgentPromoted) else -1
        assert tiers.index(event.to_tier) - tiers.index(event.from_tier) == step
        is_ = AGENT.evolve(is_, event)
        assert is_.tier is event.to_tier
