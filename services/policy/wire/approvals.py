"""Approvals, between policy's domain and its protos."""

from kernel.faults import Invalid
from provost.policy.v1 import policy_pb2
from services.policy.domain.approval import ApprovalAnswered, ApprovalRequested, ApprovalState
from services.policy.wire.decisions import action_to_wire
from services.policy.wire.texts import stamp


def approval_to_wire(
    requested: ApprovalRequested,
    state: ApprovalState,
    answered: ApprovalAnswered | None,
) -> policy_pb2.Approval:
    shown = policy_pb2.Approval(
        approval_id=requested.approval_id,
        state=policy_pb2.ApprovalState.Value(f"APPROVAL_STATE_{state}"),
        action=action_to_wire(requested.action),
        action_digest=requested.action_digest,
        run_id=requested.run_id,
        agent_id=requested.agent_id,
        requested_by=requested.requested_by,
        why=requested.why,
        request_time=stamp(requested.at),
        expire_time=stamp(requested.expire_time),
    )
    if answered is not None:
        shown.answered_by, shown.comment = answered.by, answered.comment
        shown.answer_time.CopyFrom(stamp(answered.at))
    return shown


def approval_state_from_wire(state: policy_pb2.ApprovalState.ValueType) -> ApprovalState:
    """Unspecified means pending. Raises Invalid: nobody knows it."""
    if state == policy_pb2.APPROVAL_STATE_UNSPECIFIED:
        return ApprovalState.PENDING
    try:
        return ApprovalState(policy_pb2.ApprovalState.Name(state).removeprefix("APPROVAL_STATE_"))
    except ValueError:
        known = ", ".join(ApprovalState)
        raise Invalid("FIELD_INVALID", f"state must be one of {known}", field="state") from None
