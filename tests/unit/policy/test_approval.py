"""An approval: who may answer, what it is good for, and that it is good for one decision alone."""

from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from kernel.faults import Fault
from services.policy.domain.approval import (
    APPROVAL,
    Approval,
    ApprovalRequested,
    ApprovalState,
    ApprovalUsed,
    Command,
    RequestApproval,
    UseApproval,
)
from services.policy.domain.demand import Demand, Part
from services.policy.domain.faults import (
    ApprovalAlreadyUsed,
    ApprovalClosed,
    ApprovalExpired,
    ApprovalMismatch,
    ApprovalPending,
    ApprovalRejected,
    ApprovalUnknown,
    ApproverNotAPerson,
    ApproverNotNamed,
    ChangesRequested,
    SelfApproval,
)
from services.policy.domain.votes import AnswerApproval, ApprovalAnswered, ApprovalVoted, Vote
from tests.unit.policy.words import AT, action, later

REQUEST = RequestApproval(
    "ap1", action(), "sha256:aa", "run-1", "task-1", "sre-1", "key:operator", "high memory", AT, later(600)
)
YES = AnswerApproval("ap1", Vote.APPROVE, "key:approver", "fine", later(10))
NO = replace(YES, vote=Vote.REJECT)
OTHERWISE = replace(YES, vote=Vote.REQUEST_CHANGES, comment="on one host first")
TWO = replace(REQUEST, rule="approval.production", needed=2)
NAMED = replace(TWO, approvers=("key:approver", "key:ann"))
ANN = replace(YES, by="key:ann")
BOB = replace(YES, by="key:bob")
USE = UseApproval("ap1", "d1", "sha256:aa", "run-1", "sre-1", later(20))


def after(*commands: Command, begun: Approval = APPROVAL.initial) -> Approval:
    approval = begun
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
        ((REQUEST, OTHERWISE), ApprovalState.CHANGES_REQUESTED),
        ((TWO, YES), ApprovalState.PENDING),
        ((TWO, YES, YES), ApprovalState.PENDING),
        ((TWO, YES, ANN), ApprovalState.APPROVED),
        ((TWO, YES, ANN, YES), ApprovalState.APPROVED),
        ((TWO, YES, replace(ANN, vote=Vote.REJECT)), ApprovalState.REJECTED),
        ((TWO, YES, NO), ApprovalState.REJECTED),
        ((TWO, YES, OTHERWISE), ApprovalState.CHANGES_REQUESTED),
        ((TWO, OTHERWISE), ApprovalState.CHANGES_REQUESTED),
        ((NAMED, YES, ANN, USE), ApprovalState.USED),
    ):
        assert after(*commands).state_at(later(30)) is state
    assert after(REQUEST, YES).state_at(later(600)) is ApprovalState.EXPIRED
    assert after(REQUEST, NO).state_at(later(600)) is ApprovalState.REJECTED
    assert after(REQUEST, YES, USE).state_at(later(600)) is ApprovalState.USED


BOTH = replace(
    REQUEST,
    needed=3,
    approvers=("key:approver", "key:ann", "key:bob", "key:cec"),
    parts=(Part(2, ("key:approver", "key:ann", "key:bob")), Part(1, ("key:cec",))),
)
"""Two of one list and one of another: three yeses may be too few, and never more than they need to be."""
CEC = replace(YES, by="key:cec")


def test_it_closes_with_the_yes_that_lets_a_decision_use_it() -> None:
    demand = Demand("r", BOTH.needed, BOTH.approvers, parts=BOTH.parts)
    too_few = after(BOTH, YES, ANN, BOB)
    assert too_few.state_at(later(20)) is ApprovalState.PENDING, (
        "three have said yes, and none of the second list"
    )
    assert after(BOTH, YES, ANN, BOB, CEC, replace(USE, demand=demand)).used is not None
    assert after(BOTH, CEC, YES, BOB, replace(USE, demand=demand)).used is not None
    three = replace(
        BOTH, needed=3, approvers=(), parts=(Part(3), Part(1, ("key:ann",)), Part(1, ("key:bob",)))
    )
    assert after(three, YES, CEC, replace(YES, by="key:dan")).state_at(later(20)) is ApprovalState.PENDING


def test_the_same_said_again_changes_nothing() -> None:
    assert after(REQUEST, REQUEST, YES, YES, USE, USE) == after(REQUEST, YES, USE)


def test_tried_again_after_a_crash_the_same_decision_may_use_it_for_a_while() -> None:
    """Not for ever: whoever keeps a request back would have a fresh permit long after people thought of it."""
    used = after(REQUEST, YES, replace(USE, at=later(590)))
    assert APPROVAL.decide(used, replace(USE, at=later(590 + 899))) is None, "longer than the approval lives"
    with pytest.raises(ApprovalExpired):
        APPROVAL.decide(used, replace(USE, at=later(590 + 900)))
    with pytest.raises(ApprovalMismatch):  # and not when the set asks for more people by now
        APPROVAL.decide(used, replace(USE, at=later(600), demand=Demand("approval.production", 2)))


@pytest.mark.parametrize(
    ("commands", "fault"),
    [
        ((YES,), ApprovalUnknown),
        ((USE,), ApprovalUnknown),
        ((REQUEST, replace(YES, by="key:operator")), SelfApproval),
        ((REQUEST, replace(NO, by="key:operator")), SelfApproval),
        ((REQUEST, replace(YES, by="agent:sre-1")), SelfApproval),
        ((REQUEST, replace(YES, by="agent:boss", lineage=("boss",))), SelfApproval),
        ((replace(REQUEST, requested_by="agent:boss"), replace(YES, by="agent:boss")), SelfApproval),
        ((REQUEST, replace(YES, by="agent:other")), ApproverNotAPerson),
        ((NAMED, BOB), ApproverNotNamed),
        ((NAMED, replace(BOB, vote=Vote.REJECT)), ApproverNotNamed),
        ((TWO, YES, USE), ApprovalPending),
        ((TWO, YES, replace(ANN, at=later(600))), ApprovalExpired),
        ((TWO, YES, NO, ANN), ApprovalClosed),
        ((REQUEST, OTHERWISE, YES), ApprovalClosed),
        ((REQUEST, OTHERWISE, USE), ChangesRequested),
        ((REQUEST, YES, replace(USE, demand=Demand("approval.production", 2))), ApprovalMismatch),
        ((TWO, YES, BOB, replace(USE, demand=Demand("r", 2, ("key:ann", "key:approver")))), ApprovalMismatch),
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


def test_the_last_yes_that_is_needed_closes_it_and_those_before_are_kept() -> None:
    approval = after(NAMED, YES, ANN)
    assert [(each.by, each.vote) for each in approval.votes] == [("key:approver", Vote.APPROVE)]
    assert approval.answered is not None
    assert (approval.answered.by, approval.answered.approved) == ("key:ann", True)


def test_who_wants_it_otherwise_is_heard() -> None:
    answered = after(TWO, YES, OTHERWISE).answered
    assert answered is not None
    assert (answered.approved, answered.changes_requested, answered.comment) == (
        False,
        True,
        "on one host first",
    )


def test_an_event_from_before_there_were_several_needs_one() -> None:
    event = APPROVAL.decide(APPROVAL.initial, REQUEST)
    assert isinstance(event, ApprovalRequested)
    old = APPROVAL.evolve(APPROVAL.initial, replace(event, needed=0))
    assert isinstance(APPROVAL.decide(old, YES), ApprovalAnswered)
    assert isinstance(APPROVAL.decide(after(TWO), YES), ApprovalVoted)


def test_rules_that_ask_for_less_now_do_not_matter() -> None:
    approval = after(TWO, YES, ANN)
    assert APPROVAL.decide(approval, replace(USE, demand=Demand("mode.assisted", 1))) is not None


PEOPLE = [
    "key:operator",
    "key:ann",
    "key:bob",
    "key:cec",
    "key:dan",
    "agent:sre-1",
    "agent:boss",
    "service:policy",
]
MAY = {"key:ann", "key:bob", "key:cec"}


class AsManyAsAreNeeded(RuleBasedStateMachine):
    """Whoever says what, in any order and at any time: an approval rests on as many people as were asked for, each of
    them named, nobody's own, nobody counted who has said no; and it is used once, for what it was given, in time."""

    def __init__(self) -> None:
        super().__init__()
        self.approval = APPROVAL.initial
        self.said: dict[str, Vote] = {}
        self.used: list[ApprovalUsed] = []
        self.seconds = 0.0

    @initialize(needed=st.integers(1, 4))
    def request(self, needed: int) -> None:
        named = ("key:ann", "key:bob", "key:cec", "key:operator")
        self.tried(replace(REQUEST, needed=needed, approvers=named))

    def tried(self, command: Command) -> None:
        try:
            event = APPROVAL.decide(self.approval, command)
        except Fault:
            return
        if isinstance(command, AnswerApproval):
            assert command.by in MAY, "somebody had a vote who may not have one"
        if event is None:
            return
        if isinstance(command, AnswerApproval):
            assert self.approval.answered is None, "it was closed"
            self.said[command.by] = command.vote
        if isinstance(event, ApprovalUsed):
            requested = self.approval.requested
            assert requested is not None
            assert event.at < requested.expire_time
            self.used.append(event)
        self.approval = APPROVAL.evolve(self.approval, event)

    @rule(seconds=st.floats(0, 200))
    def time_passes(self, seconds: float) -> None:
        self.seconds += seconds

    @rule()
    def request_again(self) -> None:
        self.tried(replace(REQUEST, needed=1, at=later(self.seconds), expire_time=later(self.seconds + 600)))

    @rule(vote=st.sampled_from([*Vote, Vote.APPROVE, Vote.APPROVE]), by=st.sampled_from(PEOPLE))
    def answer(self, vote: Vote, by: str) -> None:
        self.tried(AnswerApproval("ap1", vote, by, "", later(self.seconds), ("boss",)))

    @rule(decision=st.sampled_from("abc"), digest=st.sampled_from(["sha256:aa", "sha256:bb"]))
    def use(self, decision: str, digest: str) -> None:
        self.tried(UseApproval("ap1", decision, digest, "run-1", "sre-1", later(self.seconds)))

    @invariant()
    def rests_on_enough_people(self) -> None:
        approval = self.approval
        if approval.answered is None:
            return
        assert approval.requested is not None
        yes = {by for by, vote in self.said.items() if vote is Vote.APPROVE}
        assert approval.answered.approved == (len(yes) >= approval.requested.needed == len(self.said))

    @invariant()
    def used_once(self) -> None:
        assert len(self.used) <= 1
        if self.used:
            assert self.approval.answered is not None
            assert self.approval.answered.approved


TestAsManyAsAreNeeded = AsManyAsAreNeeded.TestCase
TestAsManyAsAreNeeded.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
