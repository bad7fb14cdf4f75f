"""Decisions: the hot path."""

from chassis.rpc.cause import Caller, cause_of
from kernel.faults import Invalid
from provost.policy.v1 import policy_pb2 as pb
from provost.policy.v1.policy_pb2_grpc import PolicyServiceServicer
from services.policy.handlers import Policy
from services.policy.handlers.ask import Answer, Ask
from services.policy.rpc import counters
from services.policy.rpc.callers import Context, admitted
from services.policy.wire.decisions import action_from_wire, context_from_wire, decision_to_wire

MAX_ACTIONS = 1000


class DecisionsRpc(PolicyServiceServicer):
    """May it?"""

    _policy: Policy

    async def Authorize(self, request: pb.AuthorizeRequest, context: Context) -> pb.AuthorizeResponse:
        caller = admitted(context, "Authorize")
        action = action_from_wire(request.action)
        approval_ids = {action.action_id: request.approval_id} if request.approval_id else {}
        ask = Ask(context_from_wire(request.context), (action,), approval_ids)
        answer = await self._decide(ask, request.session_token, request.request_id, caller, context)
        (decision,) = _decisions(answer)
        return pb.AuthorizeResponse(decision=decision, sequence=answer.sequence)

    async def BatchAuthorize(
        self, request: pb.BatchAuthorizeRequest, context: Context
    ) -> pb.BatchAuthorizeResponse:
        caller = admitted(context, "BatchAuthorize")
        if not 1 <= len(request.actions) <= MAX_ACTIONS:
            raise Invalid("FIELD_INVALID", f"actions must be 1 to {MAX_ACTIONS}", field="actions")
        actions = tuple(action_from_wire(action) for action in request.actions)
        if len({action.action_id for action in actions}) < len(actions):
            raise Invalid(
                "FIELD_INVALID", "each action needs an action_id of its own", field="actions.action_id"
            )
        ask = Ask(context_from_wire(request.context), actions, dict(request.approval_ids))
        answer = await self._decide(ask, request.session_token, request.request_id, caller, context)
        return pb.BatchAuthorizeResponse(decisions=_decisions(answer), sequence=answer.sequence)

    async def _decide(
        self, ask: Ask, token: str, request_id: str, caller: Caller, context: Context
    ) -> Answer:
        cause = cause_of(context, request_id)
        trusted = "service" in caller.roles
        answer = await self._policy.authorization.decide(ask, token, cause, trusted=trusted)
        counters.count(answer)
        return answer


def _decisions(answer: Answer) -> list[pb.Decision]:
    return [
        decision_to_wire(each.record, each.judgement, each.permit, each.permit_expire_time)
        for each in answer.decisions
    ]
