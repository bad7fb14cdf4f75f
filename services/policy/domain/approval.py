"""An approval: one person's word for one exact action, good for one decision, for a while."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from kernel.decider import Decider
from services.policy.domain.action import Action
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


@dataclass(frozen=True, slots=True)
class AnswerApproval:
    approval_id: str
    approved: bool
    by: str
    comment: str
    at: datetime


@dataclass(frozen=True, slots=True)
class UseApproval:
    """Spend it on one decision; what it was given for must be what is asked now."""

    approval_id: str
    decision_id: str
    action_digest: str
    run_id: str
    agent_id: str
    at: datetime


Command = RequestApproval | AnswerApproval | UseApproval


@dataclass(frozen=True, slots=True)
class ApprovalRequested:
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


@dataclass(frozen=True, slots=True)
class ApprovalAnswered:
    approval_id: str
    run_id: str
    approved: bool
    by: str
    comment: str
    at: datetime
    changes_requested: bool = False


@dataclass(frozen=True, slots=True)
class ApprovalUsed:
    approval_id: str
    decision_id: str
    run_id: str
    at: datetime


Event = ApprovalRequested | ApprovalAnswered | ApprovalUsed


class ApprovalState(StrEnum):
    PENDING = "PENDING"
    APPROVED = "APPROVED"
    REJECTED = "REJECTED"
    USED = "USED"
    EXPIRED = "EXPIRED"


@dataclass(frozen=True, slots=True)
class Approval:
    """What became of a request; nothing was requested as long as `requested` is None."""

    requested: ApprovalRequested | None = None
    answered: ApprovalAnswered | None = None
    used: ApprovalUsed | None = None

    def state_at(self, at: datetime) -> ApprovalState:
        """Pending and approved ones expire; what was rejected or used stays so."""
        if self.used is not None:
            return ApprovalState.USED
        if self.answered is not None and not self.answered.approved:
            return ApprovalState.REJECTED
        if self.requested is not None and at >= self.requested.expire_time:
            return ApprovalState.EXPIRED
        return ApprovalState.PENDING if self.answered is None else ApprovalState.APPROVED


def decide(approval: Approval, command: Command) -> Event | None:
    """What `command` changes.

    Raises:
        ApprovalUnknown, ApprovalClosed, ApprovalExpired, ApprovalPending, ApprovalRejected, ApprovalAlreadyUsed,
        ApprovalMismatch, SelfApproval, ApproverNotAPerson
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
        )
    _same(requested, command)
    return None


def _answer(
    approval: Approval, requested: ApprovalRequested, command: AnswerApproval
) -> ApprovalAnswered | None:
    if command.by == requested.requested_by:
        raise SelfApproval(command.approval_id)
    if not command.by.startswith("key:"):
        raise ApproverNotAPerson(command.by)
    answered = approval.answered
    if answered is not None and (answered.by, answered.approved) == (command.by, command.approved):
        return None
    state = approval.state_at(command.at)
    if state is ApprovalState.EXPIRED:
        raise ApprovalExpired(command.approval_id)
    if state is not ApprovalState.PENDING:
        raise ApprovalClosed(command.approval_id, state)
    return ApprovalAnswered(
        command.approval_id, requested.run_id, command.approved, command.by, command.comment, command.at
    )


def _use(approval: Approval, requested: ApprovalRequested, command: UseApproval) -> ApprovalUsed | None:
    _same(requested, command)
    if approval.used is not None:
        if approval.used.decision_id == command.decision_id:
            return None  # tried again after a crash: the same decision comes out
        raise ApprovalAlreadyUsed(command.approval_id)
    match approval.state_at(command.at):
        case ApprovalState.APPROVED:
            return ApprovalUsed(command.approval_id, command.decision_id, requested.run_id, command.at)
        case ApprovalState.PENDING:
            raise ApprovalPending(command.approval_id)
        case ApprovalState.REJECTED:
            raise ApprovalRejected(command.approval_id, approval.answered.by if approval.answered else "")
        case _:
            raise ApprovalExpired(command.approval_id)


def _same(requested: ApprovalRequested, command: RequestApproval | UseApproval) -> None:
    for what, given, asked in (
        ("run", requested.run_id, command.run_id),
        ("agent", requested.agent_id, command.agent_id),
        ("action", requested.action_digest, command.action_digest),
    ):
        if given != asked:
            raise ApprovalMismatch(command.approval_id, what)


def evolve(approval: Approval, event: Event) -> Approval:
    match event:
        case ApprovalRequested():
            return Approval(requested=event)
        case ApprovalAnswered():
            return replace(approval, answered=event)
        case ApprovalUsed():
            return replace(approval, used=event)


APPROVAL: Decider[Command, Approval, Event] = Decider("policy", "approval", Approval(), decide, evolve)
