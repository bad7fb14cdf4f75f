"""What people say to a request for approval, and which of them may.

One vote each: who has said yes may still say no, as long as it is not closed.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from services.policy.domain.faults import ApproverNotAPerson, ApproverNotNamed, SelfApproval

VOTER = "approval.voter"
"""The rule under which it is on record that somebody tried who may not."""


class Vote(StrEnum):
    APPROVE = "APPROVE"
    REJECT = "REJECT"
    REQUEST_CHANGES = "REQUEST_CHANGES"


@dataclass(frozen=True, slots=True)
class AnswerApproval:
    """`lineage` are the agents above the one that asks, nearest first, as far as they are known."""

    approval_id: str
    vote: Vote
    by: str
    comment: str
    at: datetime
    lineage: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ApprovalVoted:
    """A yes that is not enough yet."""

    approval_id: str
    run_id: str
    vote: Vote
    by: str
    comment: str
    at: datetime


@dataclass(frozen=True, slots=True)
class ApprovalAnswered:
    """What closes it: the last yes that was needed, the first no, or the wish for changes."""

    approval_id: str
    run_id: str
    approved: bool
    by: str
    comment: str
    at: datetime
    changes_requested: bool = False


def vote_of(answered: ApprovalAnswered) -> Vote:
    """What somebody said to close it."""
    if answered.approved:
        return Vote.APPROVE
    return Vote.REQUEST_CHANGES if answered.changes_requested else Vote.REJECT


def require_voter(
    command: AnswerApproval, requested_by: str, agent_id: str, approvers: tuple[str, ...]
) -> None:
    """Whether this person has a vote.

    Raises:
        SelfApproval: it is who asked, or the agent it is about, or one that controls that agent.
        ApproverNotAPerson: it is no person at all.
        ApproverNotNamed: the rule names others.
    """
    asking = {requested_by, *(f"agent:{each}" for each in (agent_id, *command.lineage) if each)}
    if command.by in asking:
        raise SelfApproval(command.approval_id)
    if not command.by.startswith("key:"):
        raise ApproverNotAPerson(command.by)
    if approvers and command.by not in approvers:
        raise ApproverNotNamed(command.approval_id, command.by)


def answer_of(command: AnswerApproval, run_id: str, *, enough: bool) -> ApprovalVoted | ApprovalAnswered:
    """What a vote is: one of several, or the one that closes it, as a yes does with which there are `enough`."""
    if command.vote is Vote.APPROVE and not enough:
        return ApprovalVoted(
            command.approval_id, run_id, command.vote, command.by, command.comment, command.at
        )
    return ApprovalAnswered(
        command.approval_id,
        run_id,
        command.vote is Vote.APPROVE,
        command.by,
        command.comment,
        command.at,
        command.vote is Vote.REQUEST_CHANGES,
    )
