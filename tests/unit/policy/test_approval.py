"""An approval: who may answer, what it is good for, and that it is good for one decision alone."""

from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from kernel.faults import Fault
from services.policy.domain.approval import (
    APPROVAL,
    AnswerApproval,
    Approval,
    ApprovalState,
    ApprovalUsed,
    Command,
    RequestApproval,
    UseApproval,
)
from services.policy.domain.faults import (
    ApprovalAlreadyUsed,
    ApprovalClosed,
    ApprovalExpired,
    ApprovalMismatch,
    ApprovalPending,
    ApprovalRejected,
    ApprovalUnknown,
    ApproverNotAPerson,
    SelfApproval,
)
from tests.unit.policy.words import AT, action, later

REQUEST = RequestApproval(
    "ap1", action(), "sha256:aa", "run-1", "task-1", "sre-1", "key:operator", "high memory", AT, later(600)
)
YES = AnswerApproval("ap1", True, "key:approver", "fine", later(10))
NO = replace(YES, approved=False)
USE = UseApproval("ap1", "d1", "sha256:aa", "run-1", "sre-1", later(20))


def after(*commands: Command) -> Approval:
    approval = APPROVAL.initial
    for command in commands:
        event = APPROVAL.decide(approval, command)
        approval = approval if event is None else APPROVAL.evolve(approval, event)
    return approval


def test_the_whole_way() -> None:
    for commands, state in (
        ((REQUEST,), ApprovalState.PENDING),
        ((REQUEST, YES), ApprovalState.APPROVED),
        ((REQUEST, NO), ApprovalState.REJECTED),
        ((REQUEST, YES, USE), ApprovalState.USED),
    ):
        assert after(*commands).state_at(later(30)) is state
    assert after(REQUEST, YES).state_at(later(600)) is ApprovalState.EXPIRED
    assert after(REQUEST, NO).state_at(later(600)) is ApprovalState.REJECTED
    assert after(REQUEST, YES, USE).state_at(later(600)) is ApprovalState.USED


def test_the_same_said_again_changes_nothing() -> None:
    assert after(REQUEST, REQUEST, YES, YES, USE, USE) == after(REQUEST, YES, USE)


def test_tried_again_after_a_crash_the_same_decision_may_use_it_even_later() -> None:
    assert APPROVAL.decide(after(REQUEST, YES, USE), replace(USE, at=later(9999))) is None


@pytest.mark.parametrize(
    ("commands", "fault"),
    [
        ((YES,), ApprovalUnknown),
        ((USE,), ApprovalUnknown),
        ((REQUEST, replace(YES, by="key:operator")), SelfApproval),
        ((REQUEST, replace(NO, by="key:operator")), SelfApproval),
        ((REQUEST, replace(YES, by="agent:sre-1")), ApproverNotAPerson),
        ((REQUEST, replace(YES, by="service:orchestrator")), ApproverNotAPerson),
        ((REQUEST, replace(YES, at=later(600))), ApprovalExpired),
        ((REQUEST, YES, NO), ApprovalClosed),
        ((REQUEST, NO, YES), ApprovalClosed),
        ((REQUEST, YES, replace(YES, by="key:other")), ApprovalClosed),
        ((REQUEST, USE), ApprovalPending),
        ((REQUEST, NO, USE), ApprovalRejected),
        ((REQUEST, YES, replace(USE, at=later(600))), ApprovalExpired),
        ((REQUEST, YES, replace(USE, action_digest="sha256:bb")), ApprovalMismatch),
        ((REQUEST, YES, replace(USE, run_id="run-2")), ApprovalMismatch),
        ((REQUEST, YES, replace(USE, agent_id="sre-2")), ApprovalMismatch),
        ((REQUEST, YES, USE, replace(USE, decision_id="d2")), ApprovalAlreadyUsed),
        ((REQUEST, replace(REQUEST, action_digest="sha256:bb")), ApprovalMismatch),
    ],
)
def test_what_is_refused(commands: tuple[Command, ...], fault: type[Fault]) -> None:
    with pytest.raises(fault):
        after(*commands)


class OneDecisionAtMost(RuleBasedStateMachine):
    """Whatever is tried, in any order and at any time: one use, of an approved request, before it expired."""

    def __init__(self) -> None:
        super().__init__()
        self.approval = APPROVAL.initial
        self.used: list[ApprovalUsed] = []
        self.seconds = 0.0

    def tried(self, command: Command) -> None:
        try:
            event = APPROVAL.decide(self.approval, command)
        except Fault:
            return
        if event is None:
            return
        if isinstance(event, ApprovalUsed):
            answered, requested = self.approval.answered, self.approval.requested
            assert answered is not None
            assert requested is not None
            assert answered.approved
            assert answered.by != requested.requested_by
            assert event.at < requested.expire_time
            self.used.append(event)
        self.approval = APPROVAL.evolve(self.approval, event)

    @rule(seconds=st.floats(0, 300))
    def time_passes(self, seconds: float) -> None:
        self.seconds += seconds

    @rule()
    def request(self) -> None:
        at = later(self.seconds)
        self.tried(replace(REQUEST, at=at, expire_time=later(self.seconds + 600)))

    @rule(
        approved=st.booleans(), by=st.sampled_from(["key:operator", "key:approver", "key:b", "agent:sre-1"])
    )
    def answer(self, approved: bool, by: str) -> None:
        self.tried(AnswerApproval("ap1", approved, by, "", later(self.seconds)))

    @rule(decision=st.sampled_from("abc"), digest=st.sampled_from(["sha256:aa", "sha256:bb"]))
    def use(self, decision: str, digest: str) -> None:
        self.tried(UseApproval("ap1", decision, digest, "run-1", "sre-1", later(self.seconds)))

    @invariant()
    def used_once(self) -> None:
        assert len(self.used) <= 1


TestOneDecisionAtMost = OneDecisionAtMost.TestCase
TestOneDecisionAtMost.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
