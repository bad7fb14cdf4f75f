"""Approvals: asked for, answered, read."""

from chassis.rpc.cause import Context, cause_of
from provost.policy.v1 import policy_pb2 as pb
from provost.policy.v1.policy_pb2_grpc import PolicyServiceServicer
from services.policy.handlers import Policy
from services.policy.handlers.approvals import ShownApproval
from services.policy.rpc.callers import admitted
from services.policy.wire.approvals import (
    approval_state_from_wire,
    approval_to_wire,
    comment_from_wire,
    vote_from_wire,
)
from services.policy.wire.decisions import action_from_wire, context_from_wire
from services.policy.wire.texts import MAX_ID, MAX_TEXT, bounded


class ApprovalsRpc(PolicyServiceServicer):
    """What people are asked."""

    _policy: Policy

    async def RequestApproval(
        self, request: pb.RequestApprovalRequest, context: Context
    ) -> pb.RequestApprovalResponse:
        admitted(context, "RequestApproval")
        shown, sequence = await self._policy.approvals.request(
            context_from_wire(request.context),
            action_from_wire(request.action),
            digest=request.action_digest,
            why=bounded(request.why, "why", MAX_TEXT, least=0),
            requested_by=bounded(request.requested_by, "requested_by", 2 * MAX_ID),
            ttl_seconds=request.ttl_seconds,
            cause=cause_of(context, request.request_id),
        )
        return pb.RequestApprovalResponse(approval=approval_shown(shown), sequence=sequence)

    async def AnswerApproval(
        self, request: pb.AnswerApprovalRequest, context: Context
    ) -> pb.AnswerApprovalResponse:
        admitted(context, "AnswerApproval")
        vote = vote_from_wire(request.vote, request.approve)
        comment = comment_from_wire(request.comment, vote)
        cause = cause_of(context, request.request_id)
        shown, sequence = await self._policy.approvals.answer(request.approval_id, vote, comment, cause)
        return pb.AnswerApprovalResponse(approval=approval_shown(shown), sequence=sequence)

    async def GetApproval(self, request: pb.GetApprovalRequest, context: Context) -> pb.GetApprovalResponse:
        tenant = admitted(context, "GetApproval").tenant
        shown = await self._policy.approvals.read(tenant, request.approval_id, request.at_least_sequence)
        return pb.GetApprovalResponse(approval=approval_shown(shown))

    async def ListApprovals(
        self, request: pb.ListApprovalsRequest, context: Context
    ) -> pb.ListApprovalsResponse:
        tenant = admitted(context, "ListApprovals").tenant
        state = approval_state_from_wire(request.state)
        page = self._policy.approvals.list(
            tenant, request.page_size, request.page_token, state, request.run_id
        )
        return pb.ListApprovalsResponse(
            approvals=map(approval_shown, page.items), next_page_token=page.next_token
        )


def approval_shown(shown: ShownApproval) -> pb.Approval:
    return approval_to_wire(shown.requested, shown.state, shown.votes, shown.answered)
