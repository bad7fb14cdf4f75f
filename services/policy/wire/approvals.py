"""Approvals, between policy's domain and its protos."""

from datetime import datetime
from typing import Final

from kernel.faults import Invalid
from provost.policy.v1 import policy_pb2
from services.policy.domain.approval import ApprovalRequested, ApprovalState
from services.policy.domain.votes import ApprovalAnswered, ApprovalVoted, Vote, vote_of
from services.policy.wire.decisions import action_to_wire
from services.policy.wire.texts import MAX_TEXT, bounded, stamp

VOTES: Final = {vote: policy_pb2.Vote.Value(f"VOTE_{vote}") for vote in Vote}
_VOTE_OF: Final = {number: vote for vote, number in VOTES.items()}


def approval_to_wire(
    requested: ApprovalRequested,
    state: ApprovalState,
    votes: tuple[ApprovalVoted, ...],
    answered: ApprovalAnswered | None,
) -> policy_pb2.Approval:
    """Votes in the order they came; the one that closed it is the last."""
    shown = policy_pb2.Approval(
        approval_id=requested.approval_id,
        state=policy_pb2.ApprovalState.Value(f"APPROVAL_STATE_{state}"),
        action=action_to_wire(requested.action),
        action_digest=requested.action_digest,
        run_id=requested.run_id,
        task_id=requested.task_id,
        agent_id=requested.agent_id,
        requested_by=requested.requested_by,
        why=requested.why,
        request_time=stamp(requested.at),
        expire_time=stamp(requested.expire_time),
        rule=requested.rule,
        needed=requested.needed,
        approvers=requested.approvers,
        parts=[
            policy_pb2.ApprovalPart(needed=each.needed, approvers=each.approvers) for each in requested.parts
        ],
        votes=[_vote(each.by, each.vote, each.comment, each.at) for each in votes],
    )
    if answered is not None:
        shown.answered_by, shown.comment = answered.by, answered.comment
        shown.answer_time.CopyFrom(stamp(answered.at))
        shown.votes.append(_vote(answered.by, vote_of(answered), answered.comment, answered.at))
    return shown


def _vote(by: str, vote: Vote, comment: str, at: datetime) -> policy_pb2.ApprovalVote:
    return policy_pb2.ApprovalVote(by=by, vote=VOTES[vote], comment=comment, at=stamp(at))


def vote_from_wire(vote: policy_pb2.Vote.ValueType, approve: bool) -> Vote:
    """Unspecified means: as `approve` says.

    Raises:
        Invalid: nobody knows the vote, or `approve` says otherwise.
    """
    if vote == policy_pb2.VOTE_UNSPECIFIED:
        return Vote.APPROVE if approve else Vote.REJECT
    known = _VOTE_OF.get(vote)
    if known is None:
        raise Invalid("FIELD_INVALID", f"vote must be one of {', '.join(Vote)}", field="vote")
    if approve and known is not Vote.APPROVE:
        raise Invalid("FIELD_INVALID", "approve and vote say different things: say one", field="approve")
    return known


def comment_from_wire(comment: str, vote: Vote) -> str:
    """What is said with a vote. Raises Invalid: it is too long, or changes are wanted and it does not say which."""
    if vote is Vote.REQUEST_CHANGES and not comment.strip():
        text = "comment is empty: who requests changes has to say what to ask for instead"
        raise Invalid("FIELD_MISSING", text, field="comment")
    return bounded(comment, "comment", MAX_TEXT, least=0)


def approval_state_from_wire(state: policy_pb2.ApprovalState.ValueType) -> ApprovalState:
    """Unspecified means pending. Raises Invalid: nobody knows it."""
    if state == policy_pb2.APPROVAL_STATE_UNSPECIFIED:
        return ApprovalState.PENDING
    try:
        return ApprovalState(policy_pb2.ApprovalState.Name(state).removeprefix("APPROVAL_STATE_"))
    except ValueError:
        known = ", ".join(ApprovalState)
        raise Invalid("FIELD_INVALID", f"state must be one of {known}", field="state") from None
