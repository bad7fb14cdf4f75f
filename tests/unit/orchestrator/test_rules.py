"""The rules of a run by themselves: what contradicts, what breaks a budget, what may be proposed."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.orchestrator.domain import phases, wants
from services.orchestrator.domain.budget import breach
from services.orchestrator.domain.faults import IllegalTransition, ProposalInvalid, RunOver, RunUnknown
from services.orchestrator.domain.lifecycle import Enter, Exit, completes, next_step
from services.orchestrator.domain.phases import ORDER, Phase, RunState
from services.orchestrator.domain.proposal import MAX_ACTIONS, checked, line_hash
from services.orchestrator.domain.records import (
    Action,
    Claim,
    ErrorBudget,
    ErrorCounts,
    Evidence,
    Incident,
    Mode,
    PlannedAction,
    Proposal,
    ReasoningCycle,
    Strategy,
    Tier,
)
from services.orchestrator.domain.run import RUN, Run
from services.orchestrator.domain.wants import EndRun, EnterPhase
from tests.unit.orchestrator.doors import NOW

START = wants.StartRun(
    "r", "t", "sre-1", Mode.SAFE, Strategy.CLASSIC, "look", None, None, "key:op", True, 1, 0.7, NOW
)


def after(*commands: wants.Command) -> Run:
    run = Run()
    for command in commands:
        event = RUN.decide(run, command)
        if event is not None:
            run = RUN.evolve(run, event)
    return run


def up_to(upto: Phase) -> list[wants.Command]:
    return [EnterPhase(phase, 7, NOW) for phase in ORDER[: ORDER.index(upto) + 1]]


@pytest.mark.parametrize("phase", ORDER)
def test_no_phase_is_skipped_or_gone_back_to(phase: Phase) -> None:
    run = after(START, *up_to(phase))
    for wanted in ORDER:
        step = ORDER.index(wanted) - ORDER.index(phase)
        if step in (0, 1):
            continue
        with pytest.raises(IllegalTransition):
            RUN.decide(run, EnterPhase(wanted, 7, NOW))


def test_the_same_phase_is_entered_again_only_under_a_new_lock() -> None:
    run = after(START, *up_to(Phase.PLAN))
    assert RUN.decide(run, EnterPhase(Phase.PLAN, 7, NOW)) is None
    assert RUN.decide(run, EnterPhase(Phase.PLAN, 8, NOW)) is not None


def test_what_is_left_to_do_in_a_phase_decides_whether_its_result_ends_it() -> None:
    action = Action("a1", "diagnostics.memory", "localhost", "sandbox")
    plan = (PlannedAction(action, Tier.T0_OBSERVER, "w", ()),)
    planned_run = after(START, *up_to(Phase.PLAN), wants.RecordPlan(None, plan, (), (), NOW))
    assert completes(planned_run, wants.RecordDecisions((), NOW)) is Phase.EXECUTE
    verifying = after(START, *up_to(Phase.VERIFY))
    result = wants.RecordVerification((), NOW)
    assert completes(verifying, result) is Phase.PACKAGE
    with_entry = replace(result, entry=phases.Entry(Phase.PACKAGE, 9))
    entered = RUN.evolve(verifying, RUN.decide(verifying, with_entry))  # type: ignore[arg-type]
    assert (entered.phase, entered.fencing_token, entered.checks) == (Phase.PACKAGE, 9, ())


def test_a_result_that_is_recorded_alone_leaves_the_entry_to_the_next_step() -> None:
    run = after(START, *up_to(Phase.VERIFY), wants.RecordVerification((), NOW))
    assert (run.phase, next_step(run)) == (Phase.VERIFY, Enter(Phase.PACKAGE))


def test_a_result_skips_no_phase() -> None:
    run = after(START, *up_to(Phase.VERIFY))
    with pytest.raises(IllegalTransition):
        RUN.decide(run, wants.RecordVerification((), NOW, phases.Entry(Phase.REPORT, 7)))


def test_nothing_happens_after_the_end() -> None:
    over = after(START, EndRun(RunState.FAILED, "x", "y", False, NOW))
    with pytest.raises(RunOver):
        RUN.decide(over, EnterPhase(Phase.BOOTSTRAP, 7, NOW))
    assert RUN.decide(over, EndRun(RunState.COMPLETED, "x", "y", True, NOW)) is None
    assert next_step(over) is None


def test_nothing_happens_before_the_start() -> None:
    with pytest.raises(RunUnknown):
        RUN.decide(Run(), EndRun(RunState.FAILED, "x", "y", False, NOW))


def test_no_effect_is_intended_without_an_allow() -> None:
    run = after(START, *up_to(Phase.EXECUTE))
    with pytest.raises(IllegalTransition):
        RUN.decide(run, wants.IntendEffect("e1", "a1", NOW))


def test_a_run_at_exit_only_exits() -> None:
    assert next_step(after(START, *up_to(Phase.EXIT))) == Exit()


@given(st.integers(0, 20), st.integers(0, 20), st.integers(0, 5))
def test_a_budget_is_broken_when_a_limit_is_reached(total: int, same: int, violations: int) -> None:
    broken = breach(ErrorCounts(total, same, violations), ErrorBudget(8, 2, 1))
    assert (broken is not None) == (total >= 8 or same >= 2 or violations >= 1)
    if violations:
        assert broken is not None
        assert broken.reason == "PROCEDURE_VIOLATION"


LINES = ["all is well", "Out of memory: Killed process 1"]


def incident(*, line: int = 2, sha256: str = line_hash(LINES[1]), cites: str = "L2") -> Incident:
    return Incident(
        "critical",
        "memory",
        0.9,
        "s",
        (Evidence("L2", line, LINES[1], sha256),),
        (),
        (Claim("c", "memory", "critical", 0.9, (cites,)),),
    )


def planned(n: int = 1, **changes: object) -> PlannedAction:
    action = Action(f"a{n}", "diagnostics.memory", "localhost", "sandbox")
    return PlannedAction(replace(action, **changes), Tier.T0_OBSERVER, "w", ("L2",))  # type: ignore[arg-type]


def test_a_founded_proposal_stays_as_it_is() -> None:
    proposal = Proposal("r", incident(), (planned(),), ())
    assert checked(proposal, LINES) == proposal


@pytest.mark.parametrize("bad", [{"line": 1}, {"line": 3}, {"line": 0}, {"sha256": "00"}, {"cites": "L9"}])
def test_an_unfounded_cause_is_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ProposalInvalid):
        checked(Proposal("r", incident(**bad), (), ()), LINES)  # type: ignore[arg-type]


@pytest.mark.parametrize("share", [math.nan, math.inf, -0.1, 1.1])
def test_what_is_no_share_refuses_the_proposal(share: float) -> None:
    sure = replace(incident(), confidence=share)
    claimed = replace(incident(), claims=(replace(incident().claims[0], confidence=share),))
    for proposal in (
        Proposal("r", sure, (), ()),
        Proposal("r", claimed, (), ()),
        Proposal("r", None, (), (ReasoningCycle(1, "b", "memory", (), share, "", ""),)),
    ):
        with pytest.raises(ProposalInvalid):
            checked(proposal, LINES)


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("Out of memory\r", "Out of memory"),
        ("\ta\x1b[31m\u202eb\ud800", " a\\x1b[31m\\u202eb\\ud800"),
        ("x" * 400, "x" * 400),
        ("x" * 401, "x" * 399 + "…"),
    ],
)
def test_evidence_shows_the_line_itself_whatever_the_agent_wrote(line: str, shown: str) -> None:
    told = replace(incident(line=1, sha256=line_hash(line)), severity="info")
    founded = checked(Proposal("r", told, (), ()), [line]).incident
    assert founded is not None
    assert [each.text for each in founded.evidence] == [shown]


def test_an_action_that_rests_on_nothing_is_dropped() -> None:
    resting_on_nothing = replace(planned(2), evidence=())
    resting_on_air = replace(planned(3), evidence=("L77",))
    proposal = Proposal("r", incident(), (planned(1), resting_on_nothing, resting_on_air), ())
    assert [p.action.action_id for p in checked(proposal, LINES).plan] == ["a1"]


@pytest.mark.parametrize(
    "bad",
    [
        {"name": "rm -rf /"},
        {"name": "diagnostics"},
        {"target": "$(reboot)"},
        {"target": ""},
        {"environment": "a b"},
        {"parameters": {"x": "a\nb"}},
        {"parameters": {"x y": "a"}},
        {"parameters": {"x": "v" * 1025}},
        {"action_id": "a/1"},
    ],
)
def test_a_malformed_action_refuses_the_proposal(bad: dict[str, object]) -> None:
    with pytest.raises(ProposalInvalid):
        checked(Proposal("r", None, (planned(1, **bad),), ()), [])


def test_ids_do_not_repeat_and_plans_have_an_end() -> None:
    with pytest.raises(ProposalInvalid):
        checked(Proposal("r", None, (planned(1), planned(1)), ()), [])
    with pytest.raises(ProposalInvalid):
        checked(Proposal("r", None, tuple(planned(n) for n in range(MAX_ACTIONS + 1)), ()), [])
