"""An approval: people's word for one exact action, good for one decision, for a while.

As many have to say yes as the rules that ask for it need, and the right ones; the first who says no, or wants it
otherwise, ends it. Who may say so is in `votes`.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from kernel.decider import Decider
from services.policy.domain.action import Action
from services.policy.domain.demand import Demand, Part
from services.policy.domain.faults import (
    ApprovalAlreadyUsed,
    ApprovalClosed,
    ApprovalExpired,
    ApprovalMismatch,
    ApprovalPending,
    ApprovalRejected,
    ApprovalUnknown,
    ChangesRequested,
)
from services.policy.domain.votes import (
    AnswerApproval,
    ApprovalAnswered,
    ApprovalVoted,
    Vote,
    answer_of,
    require_voter,
    vote_of,
)

AGAIN = timedelta(minutes=15)
"""How long after it was used the same decision may be given again, however soon the approval itself expires."""


@dataclass(frozen=True, slots=True)
class RequestApproval:
    approval_id: str
    action: Action
    action_digest: str
    run_id: str
    task_id: str
    agent_id: str
    requested_by: str
    why: str
    at: datetime
    expire_time: datetime
    subject_key: str = ""
    rule: str = ""
    needed: int = 1
    approvers: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True, slots=True)
class UseApproval:
    """Spend it on one decision; what it was given for must be what is asked now, and no more people be asked for."""

    approval_id: str
    decision_id: str
    action_digest: str
    run_id: str
    agent_id: str
    at: datetime
    demand: Demand | None = None


Command = RequestApproval | AnswerApproval | UseApproval


@dataclass(frozen=True, slots=True)
class ApprovalRequested:
    """`needed` is 0 in events from before there were several: one."""

    approval_id: str
    action: Action
    action_digest: str
    run_id: str
    task_id: str
    agent_id: str
    requested_by: str
    why: str
    at: datetime
    expire_time: datetime
    subject_key: str = ""
    rule: str = ""
    needed: int = 1
    approvers: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True, slots=True)
class ApprovalUsed:
    approval_id: str
    decision_id: str
    run_id: str
    at: datetime


Event = ApprovalRequested | ApprovalVoted | ApprovalAnswered | ApprovalUsed


class ApprovalState(StrEnum):
    PENDING = "PENDING"
    APPROVED = "APPROVED"
    REJECTED = "REJECTED"
    USED = "USED"
    EXPIRED = "EXPIRED"
    CHANGES_REQUESTED = "CHANGES_REQUESTED"


@dataclass(frozen=True, slots=True)
class Approval:
    """What became of a request; nothing was requested as long as `requested` is None.

    `votes` holds each person's first yes, in the order they came.
    """

    requested: ApprovalRequested | None = None
    votes: tuple[ApprovalVoted, ...] = ()
    answered: ApprovalAnswered | None = None
    used: ApprovalUsed | None = None

    def state_at(self, at: datetime) -> ApprovalState:
        """Pending and approved ones expire; what was rejected, sent back or used stays so."""
        if self.used is not None:
            return ApprovalState.USED
        if self.answered is not None and not self.answered.approved:
            changes = self.answered.changes_requested
            return ApprovalState.CHANGES_REQUESTED if changes else ApprovalState.REJECTED
        if self.requested is not None and at >= self.requested.expire_time:
            return ApprovalState.EXPIRED
        return ApprovalState.PENDING if self.answered is None else ApprovalState.APPROVED

    def said(self, by: str) -> Vote | None:
        """What this person has said last, if anything."""
        if self.answered is not None and self.answered.by == by:
            return vote_of(self.answered)
        return Vote.APPROVE if any(each.by == by for each in self.votes) else None


def wish_of(approval: Approval) -> str:
    """What somebody said who wants it otherwise, as it is kept; empty: nobody does, or said nothing."""
    answered = approval.answered
    return answered.comment if answered is not None and answered.changes_requested else ""


def decide(approval: Approval, command: Command) -> Event | None:
    """What `command` changes.

    Raises:
        ApprovalUnknown, ApprovalClosed, ApprovalExpired, ApprovalPending, ApprovalRejected, ChangesRequested,
        ApprovalAlreadyUsed, ApprovalMismatch, SelfApproval, ApproverNotAPerson, ApproverNotNamed
    """
    requested = approval.requested
    match command:
        case RequestApproval():
            return _request(requested, command)
        case AnswerApproval(approval_id) | UseApproval(approval_id) if requested is None:
            raise ApprovalUnknown(approval_id)
        case AnswerApproval():
            return _answer(approval, requested, command)
        case UseApproval():
            return _use(approval, requested, command)


def _request(requested: ApprovalRequested | None, command: RequestApproval) -> ApprovalRequested | None:
    if requested is None:
        return ApprovalRequested(
            command.approval_id,
            command.action,
            command.action_digest,
            command.run_id,
            command.task_id,
            command.agent_id,
            command.requested_by,
            command.why,
            command.at,
            command.expire_time,
            command.subject_key,
            command.rule,
            command.needed,
            command.approvers,
            command.parts,
        )
    _same(requested, command)
    return None


def _answer(
    approval: Approval, requested: ApprovalRequested, command: AnswerApproval
) -> ApprovalVoted | ApprovalAnswered | None:
    require_voter(command, requested.requested_by, requested.agent_id, requested.approvers)
    if approval.said(command.by) is command.vote:
        return None
    state = approval.state_at(command.at)
    if state is ApprovalState.EXPIRED:
        raise ApprovalExpired(command.approval_id)
    if state is not ApprovalState.PENDING:
        raise ApprovalClosed(command.approval_id, state)
    asked = Demand(requested.rule, requested.needed, requested.approvers, parts=requested.parts)
    people = frozenset((*(each.by for each in approval.votes), command.by))
    return answer_of(command, requested.run_id, enough=asked.met_by(people))


def _use(approval: Approval, requested: ApprovalRequested, command: UseApproval) -> ApprovalUsed | None:
    _same(requested, command)
    if approval.used is not None:
        if approval.used.decision_id != command.decision_id:
            raise ApprovalAlreadyUsed(command.approval_id)
        if command.at >= max(requested.expire_time, approval.used.at + AGAIN):
            raise ApprovalExpired(command.approval_id)
        _as_demanded(approval, requested, command)
        return None  # tried again, as after a crash: the same decision comes out
    match approval.state_at(command.at):
        case ApprovalState.APPROVED:
            _as_demanded(approval, requested, command)
            return ApprovalUsed(command.approval_id, command.decision_id, requested.run_id, command.at)
        case ApprovalState.PENDING:
            raise ApprovalPending(command.approval_id)
        case ApprovalState.REJECTED:
            raise ApprovalRejected(command.approval_id, approval.answered.by if approval.answered else "")
        case ApprovalState.CHANGES_REQUESTED:
            raise ChangesRequested(command.approval_id, approval.answered.by if approval.answered else "")
        case _:
            raise ApprovalExpired(command.approval_id)


def _as_demanded(approval: Approval, requested: ApprovalRequested, command: UseApproval) -> None:
    """The rules may have become stricter since it was requested: then it was given by too few, or by others."""
    demand = command.demand
    if demand is None:
        return
    if not enough(approval, demand):
        raise ApprovalMismatch(command.approval_id, f"rule ({requested.rule or 'an older one'})")


def enough(approval: Approval, demand: Demand) -> bool:
    """Whether those who have approved it are whom `demand` asks for."""
    answered = approval.answered
    last = (answered.by,) if answered is not None and answered.approved else ()
    return demand.met_by(frozenset((*(each.by for each in approval.votes), *last)))


def _same(requested: ApprovalRequested, command: RequestApproval | UseApproval) -> None:
    for what, given, asked in (
        ("run", requested.run_id, command.run_id),
        ("agent", requested.agent_id, command.agent_id),
    ):
        if given != asked:
            raise ApprovalMismatch(command.approval_id, what, given, asked)
    if requested.action_digest != command.action_digest:
        raise ApprovalMismatch(command.approval_id, "action")


def evolve(approval: Approval, event: Event) -> Approval:
    match event:
        case ApprovalRequested():
            return Approval(requested=replace(event, needed=max(event.needed, 1)))
        case ApprovalVoted():
            return replace(approval, votes=(*approval.votes, event))
        case ApprovalAnswered():
            return replace(approval, answered=event)
        case ApprovalUsed():
            return replace(approval, used=event)


APPROVAL: Decider[Command, Approval, Event] = Decider("policy", "approval", Approval(), decide, evolve)
