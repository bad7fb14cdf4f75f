"""Decisions: the hot path."""

from collections.abc import AsyncIterator

from chassis import process, telemetry
from chassis.rpc.cause import Caller, Context, cause_of
from kernel.faults import Fault, Invalid, Unavailable
from provost.policy.v1 import policy_pb2 as pb
from provost.policy.v1.policy_pb2_grpc import PolicyServiceServicer
from services.policy.handlers import Policy
from services.policy.handlers.ask import Answer, Ask, Decision
from services.policy.rpc import counters
from services.policy.rpc.callers import admitted
from services.policy.rpc.door import Door
from services.policy.rpc.streaming import Answering
from services.policy.wire.budgets import amounts_from_wire
from services.policy.wire.decisions import (
    action_from_wire,
    checks_to_wire,
    context_from_wire,
    fill_decision,
    judgement_to_wire,
)
from services.policy.wire.texts import MAX_ID, MAX_POLICY_VERSION, bounded
from services.policy.wire.tiers import tier_from_wire

MAX_ACTIONS = 1000
STREAM_HOLDS = 64
"""Requests of one stream that are worked on at once, or answered and not yet taken."""

_log = telemetry.get_logger("policy.rpc")


class DecisionsRpc(PolicyServiceServicer):
    """May it?"""

    _policy: Policy
    _door: Door

    async def Authorize(self, request: pb.AuthorizeRequest, context: Context) -> pb.AuthorizeResponse:
        caller = admitted(context, "Authorize")
        async with self._door.turn():
            return await self._authorize(request, caller, context)

    async def BatchAuthorize(
        self, request: pb.BatchAuthorizeRequest, context: Context
    ) -> pb.BatchAuthorizeResponse:
        caller = admitted(context, "BatchAuthorize")
        async with self._door.turn():
            return await self._batch(request, caller, context)

    async def _batch(
        self, request: pb.BatchAuthorizeRequest, caller: Caller, context: Context
    ) -> pb.BatchAuthorizeResponse:
        if not 1 <= len(request.actions) <= MAX_ACTIONS:
            raise Invalid("FIELD_INVALID", f"actions must be 1 to {MAX_ACTIONS}", field="actions")
        actions = tuple([action_from_wire(action) for action in request.actions])
        ids = {action.action_id for action in actions}
        if len(ids) < len(actions):
            raise Invalid(
                "FIELD_INVALID", "each action needs an action_id of its own", field="actions.action_id"
            )
        for field, by_id in (("costs", request.costs), ("approval_ids", request.approval_ids)):
            if not ids.issuperset(by_id):
                raise Invalid("FIELD_INVALID", f"{field} has an action_id that no action has", field=field)
        costs = {action_id: amounts_from_wire(cost, "costs") for action_id, cost in request.costs.items()}
        approval_ids = {
            action_id: bounded(approval_id, "approval_ids", MAX_ID, least=0)
            for action_id, approval_id in request.approval_ids.items()
        }
        ask = Ask(context_from_wire(request.context), actions, approval_ids, costs)
        answer = await self._decide(ask, request.session_token, request.request_id, caller, context)
        response = pb.BatchAuthorizeResponse(sequence=answer.sequence)
        add = response.decisions.add
        for each in answer.decisions:
            _fill(add(), each)
        return response

    async def StreamAuthorize(
        self, requests: AsyncIterator[pb.StreamAuthorizeRequest], context: Context
    ) -> AsyncIterator[pb.StreamAuthorizeResponse]:
        """An open stream is no power: each request is decided by itself, and a revoked agent's are all refused."""
        caller = admitted(context, "StreamAuthorize")

        async def answer(request: pb.StreamAuthorizeRequest) -> pb.StreamAuthorizeResponse:
            ask = request.ask
            try:
                async with self._door.turn():
                    answered = await self._authorize(ask, caller, context)
            except Exception as error:  # noqa: BLE001 - what fails is told in its answer, and ends nothing else
                return pb.StreamAuthorizeResponse(request_id=ask.request_id, failure=_failure(error))
            return pb.StreamAuthorizeResponse(request_id=ask.request_id, answer=answered)

        async for answered in Answering(requests, answer, STREAM_HOLDS).answers():
            yield answered

    async def Explain(self, request: pb.ExplainRequest, context: Context) -> pb.ExplainResponse:
        admitted(context, "Explain")
        action = action_from_wire(request.action)
        explained = await self._policy.explaining.explain(
            context_from_wire(request.context, least_task=0),
            action,
            amounts_from_wire(request.cost, "cost") if request.HasField("cost") else None,
            cause_of(context),
            tier=tier_from_wire(request.tier) if request.tier else None,
            policy_version=bounded(request.policy_version, "policy_version", MAX_POLICY_VERSION, least=0),
        )
        decision = judgement_to_wire(
            explained.judgement,
            explained.tier,
            explained.policy_version,
            explained.action_digest,
            action.action_id,
        )
        checks = checks_to_wire(explained.looked)
        return pb.ExplainResponse(decision=decision, checks=checks, position=explained.position)

    async def _authorize(
        self, request: pb.AuthorizeRequest, caller: Caller, context: Context
    ) -> pb.AuthorizeResponse:
        action = action_from_wire(request.action)
        approval_id = bounded(request.approval_id, "approval_id", MAX_ID, least=0)
        approval_ids = {action.action_id: approval_id} if approval_id else {}
        costs = (
            {action.action_id: amounts_from_wire(request.cost, "cost")} if request.HasField("cost") else {}
        )
        ask = Ask(context_from_wire(request.context), (action,), approval_ids, costs)
        answer = await self._decide(ask, request.session_token, request.request_id, caller, context)
        response = pb.AuthorizeResponse(sequence=answer.sequence)
        _fill(response.decision, answer.decisions[0])
        return response

    async def _decide(
        self, ask: Ask, token: str, request_id: str, caller: Caller, context: Context
    ) -> Answer:
        cause = cause_of(context, request_id)
        trusted = "service" in caller.roles
        answer = await self._policy.authorization.decide(ask, token, cause, trusted=trusted)
        counters.count(answer)
        return answer


def _fill(made: pb.Decision, each: Decision) -> None:
    fill_decision(
        made, each.record, each.judgement, each.permit, each.permit_expire_time, each.reservation_id
    )


def _failure(error: Exception) -> pb.StreamAuthorizeResponse.Failure:
    """What is told of it: as much as a unary call would tell."""
    if isinstance(error, Fault):
        retry = isinstance(error, Unavailable)
        return pb.StreamAuthorizeResponse.Failure(reason=error.reason, text=error.text, retry=retry)
    trouble = process.new_id()
    _log.error("request of a stream failed", trouble=trouble, exc_info=error)
    text = f"internal error; the server's log has more under {trouble}"
    return pb.StreamAuthorizeResponse.Failure(reason="INTERNAL", text=text)
