"""Policy's part of a double: sessions without secrets, decisions from the table, approvals."""

from collections.abc import Sequence

import grpc

from provost.policy.v1 import policy_pb2, policy_pb2_grpc
from provost_sdk.testing.door import Context, admitted, refuse
from provost_sdk.testing.runs import Runs
from provost_sdk.testing.tables import Rule, decided
from provost_sdk.testing.world import World


class PolicyDouble(policy_pb2_grpc.PolicyServiceServicer):
    """A session is opened for any role `<agent>` or `<agent>.<anything>`, whatever the secret."""

    def __init__(self, world: World, rules: Sequence[Rule], runs: Runs) -> None:
        self._world = world
        self._rules = rules
        self._runs = runs
        self._decided: dict[str, policy_pb2.Decision] = {}

    async def CreateSession(
        self, request: policy_pb2.CreateSessionRequest, context: Context
    ) -> policy_pb2.CreateSessionResponse:
        agent_id = request.role_id.partition(".")[0]
        if not agent_id or not request.secret_id:
            await refuse(
                context,
                grpc.StatusCode.UNAUTHENTICATED,
                "CREDENTIALS_REFUSED",
                "role and secret are not those of an agent",
            )
        made = policy_pb2.CreateSessionResponse(session_token=f"session-of-{agent_id}", agent_id=agent_id)
        made.expire_time.seconds = 2**33  # no test lasts until then, whatever its clock says
        return made

    async def Authorize(
        self, request: policy_pb2.AuthorizeRequest, context: Context
    ) -> policy_pb2.AuthorizeResponse:
        await admitted(context, self._world.callers, "operator")
        if request.session_token != f"session-of-{request.context.agent_id}":
            reason = "TOKEN_INVALID" if request.session_token else "TOKEN_MISSING"
            await refuse(
                context, grpc.StatusCode.UNAUTHENTICATED, reason, "an agent must show its session token"
            )
        number = self._world.id_of("decision", request.request_id)
        if number not in self._decided:
            self._decided[number] = decided(self._rules, request.action, request.context.mode, number)
        return policy_pb2.AuthorizeResponse(decision=self._decided[number])

    async def ListApprovals(
        self, request: policy_pb2.ListApprovalsRequest, context: Context
    ) -> policy_pb2.ListApprovalsResponse:
        caller = await admitted(context, self._world.callers, "viewer")
        wanted = request.state or policy_pb2.APPROVAL_STATE_PENDING
        found = [
            each
            for (tenant, _), each in self._runs.approvals.items()
            if tenant == caller.tenant and each.state == wanted and request.run_id in ("", each.run_id)
        ]
        return policy_pb2.ListApprovalsResponse(approvals=found)

    async def AnswerApproval(
        self, request: policy_pb2.AnswerApprovalRequest, context: Context
    ) -> policy_pb2.AnswerApprovalResponse:
        caller = await admitted(context, self._world.callers, "approver")
        approval = self._runs.approvals.get((caller.tenant, request.approval_id))
        if approval is None:
            await refuse(context, grpc.StatusCode.NOT_FOUND, "APPROVAL_UNKNOWN", "there is no such approval")
        if approval.state != policy_pb2.APPROVAL_STATE_PENDING:
            await refuse(
                context, grpc.StatusCode.FAILED_PRECONDITION, "APPROVAL_CLOSED", "it has been answered"
            )
        if approval.requested_by == caller.name:
            await refuse(
                context, grpc.StatusCode.PERMISSION_DENIED, "SELF_APPROVAL", "who asked may not answer"
            )
        said_yes = request.approve or request.vote == policy_pb2.VOTE_APPROVE
        approval.state = (
            policy_pb2.APPROVAL_STATE_APPROVED if said_yes else policy_pb2.APPROVAL_STATE_REJECTED
        )
        approval.answered_by, approval.comment = caller.name, request.comment
        self._runs.answered(caller.tenant, approval.run_id)
        return policy_pb2.AnswerApprovalResponse(approval=approval)
