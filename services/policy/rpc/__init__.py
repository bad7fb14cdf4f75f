"""Policy over gRPC: unwrap, ask, wrap."""

from typing import Any, TypeAlias

import grpc.aio

from chassis.rpc.cause import Caller, caller_of, cause_of
from chassis.telemetry import get_logger
from kernel.faults import Invalid
from provost.policy.v1 import policy_pb2 as pb
from provost.policy.v1 import policy_pb2_grpc
from services.policy import wire
from services.policy.domain.faults import CredentialsRefused
from services.policy.handlers import Policy
from services.policy.handlers.approvals import ShownApproval
from services.policy.handlers.ask import Answer, Ask
from services.policy.ports import Signer
from services.policy.rpc import counters
from services.policy.rpc.roles import allowed

MAX_ACTIONS = 1000
HOT = frozenset({"AuthorizeResponse", "BatchAuthorizeResponse"})
"""Answers with nothing sealed in them: decisions are told as they were made, and sealed as they are written down."""
MAX_DOCUMENT = 256 * 1024

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

_log = get_logger("policy.rpc")


class PolicyServicer(policy_pb2_grpc.PolicyServiceServicer):
    """One method per RPC; what a caller may is in `roles`."""

    def __init__(self, policy: Policy, signer: Signer) -> None:
        self._policy = policy
        self._signer = signer

    async def RegisterAgent(
        self, request: pb.RegisterAgentRequest, context: Context
    ) -> pb.RegisterAgentResponse:
        _caller(context, "RegisterAgent")
        version = wire.bounded(request.agent_version, "agent_version", wire.MAX_ID, least=0)
        agent, sequence = await self._policy.agents.register(
            request.agent_id,
            wire.tier_from_wire(request.tier),
            version,
            cause_of(context, request.request_id),
        )
        return pb.RegisterAgentResponse(agent=wire.agent_to_wire(agent), sequence=sequence)

    async def GetAgent(self, request: pb.GetAgentRequest, context: Context) -> pb.GetAgentResponse:
        tenant = _caller(context, "GetAgent").tenant
        agent = await self._policy.agents.read(tenant, request.agent_id, request.at_least_sequence)
        return pb.GetAgentResponse(agent=wire.agent_to_wire(agent))

    async def ListAgents(self, request: pb.ListAgentsRequest, context: Context) -> pb.ListAgentsResponse:
        tenant = _caller(context, "ListAgents").tenant
        page = self._policy.agents.list(tenant, request.page_size, request.page_token)
        return pb.ListAgentsResponse(
            agents=map(wire.agent_to_wire, page.items), next_page_token=page.next_token
        )

    async def CreateSecret(
        self, request: pb.CreateSecretRequest, context: Context
    ) -> pb.CreateSecretResponse:
        _caller(context, "CreateSecret")
        made = await self._policy.agents.create_secret(
            request.agent_id, cause_of(context, request.request_id)
        )
        return pb.CreateSecretResponse(role_id=made.role_id, secret_id=made.secret_id, sequence=made.sequence)

    async def CreateSession(
        self, request: pb.CreateSessionRequest, context: Context
    ) -> pb.CreateSessionResponse:
        caller = _caller(context, "CreateSession")
        cause = cause_of(context, request.request_id)
        try:
            opened = await self._policy.agents.create_session(request.role_id, request.secret_id, cause)
        except CredentialsRefused:
            # Said in the log because a row of these is somebody guessing.
            _log.warning("session refused", reason="CREDENTIALS_REFUSED", actor=caller.actor)
            raise
        return pb.CreateSessionResponse(
            session_token=opened.token,
            expire_time=wire.stamp(opened.expire_time),
            agent_id=opened.agent_id,
            tier=wire.TIERS[opened.tier],
            sequence=opened.sequence,
        )

    async def RevokeAgent(self, request: pb.RevokeAgentRequest, context: Context) -> pb.RevokeAgentResponse:
        _caller(context, "RevokeAgent")
        kind = wire.bounded(request.kind or "operator", "kind", wire.MAX_ID)
        details = wire.bounded(request.details, "details", wire.MAX_TEXT, least=0)
        cause = cause_of(context, request.request_id)
        agent, sequence = await self._policy.agents.revoke(request.agent_id, kind, details, cause)
        return pb.RevokeAgentResponse(agent=wire.agent_to_wire(agent), sequence=sequence)

    async def Authorize(self, request: pb.AuthorizeRequest, context: Context) -> pb.AuthorizeResponse:
        caller = _caller(context, "Authorize")
        action = wire.action_from_wire(request.action)
        approval_ids = {action.action_id: request.approval_id} if request.approval_id else {}
        ask = Ask(wire.context_from_wire(request.context), (action,), approval_ids)
        answer = await self._decide(ask, request.session_token, request.request_id, caller, context)
        (decision,) = _decisions(answer)
        return pb.AuthorizeResponse(decision=decision, sequence=answer.sequence)

    async def BatchAuthorize(
        self, request: pb.BatchAuthorizeRequest, context: Context
    ) -> pb.BatchAuthorizeResponse:
        caller = _caller(context, "BatchAuthorize")
        if not 1 <= len(request.actions) <= MAX_ACTIONS:
            raise Invalid("FIELD_INVALID", f"actions must be 1 to {MAX_ACTIONS}", field="actions")
        actions = tuple(wire.action_from_wire(action) for action in request.actions)
        if len({action.action_id for action in actions}) < len(actions):
            raise Invalid(
                "FIELD_INVALID", "each action needs an action_id of its own", field="actions.action_id"
            )
        ask = Ask(wire.context_from_wire(request.context), actions, dict(request.approval_ids))
        answer = await self._decide(ask, request.session_token, request.request_id, caller, context)
        return pb.BatchAuthorizeResponse(decisions=_decisions(answer), sequence=answer.sequence)

    async def RequestApproval(
        self, request: pb.RequestApprovalRequest, context: Context
    ) -> pb.RequestApprovalResponse:
        _caller(context, "RequestApproval")
        shown, sequence = await self._policy.approvals.request(
            wire.context_from_wire(request.context),
            wire.action_from_wire(request.action),
            digest=request.action_digest,
            why=wire.bounded(request.why, "why", wire.MAX_TEXT, least=0),
            requested_by=wire.bounded(request.requested_by, "requested_by", 2 * wire.MAX_ID),
            ttl_seconds=request.ttl_seconds,
            cause=cause_of(context, request.request_id),
        )
        return pb.RequestApprovalResponse(approval=_approval(shown), sequence=sequence)

    async def AnswerApproval(
        self, request: pb.AnswerApprovalRequest, context: Context
    ) -> pb.AnswerApprovalResponse:
        _caller(context, "AnswerApproval")
        comment = wire.bounded(request.comment, "comment", wire.MAX_TEXT, least=0)
        cause = cause_of(context, request.request_id)
        shown, sequence = await self._policy.approvals.answer(
            request.approval_id, request.approve, comment, cause
        )
        return pb.AnswerApprovalResponse(approval=_approval(shown), sequence=sequence)

    async def GetApproval(self, request: pb.GetApprovalRequest, context: Context) -> pb.GetApprovalResponse:
        tenant = _caller(context, "GetApproval").tenant
        shown = await self._policy.approvals.read(tenant, request.approval_id, request.at_least_sequence)
        return pb.GetApprovalResponse(approval=_approval(shown))

    async def ListApprovals(
        self, request: pb.ListApprovalsRequest, context: Context
    ) -> pb.ListApprovalsResponse:
        tenant = _caller(context, "ListApprovals").tenant
        state = wire.approval_state_from_wire(request.state)
        page = self._policy.approvals.list(
            tenant, request.page_size, request.page_token, state, request.run_id
        )
        return pb.ListApprovalsResponse(approvals=map(_approval, page.items), next_page_token=page.next_token)

    async def GetPolicySet(
        self, _request: pb.GetPolicySetRequest, context: Context
    ) -> pb.GetPolicySetResponse:
        tenant = _caller(context, "GetPolicySet").tenant
        shown = self._policy.policy_sets.shown(tenant)
        return pb.GetPolicySetResponse(
            version=shown.version, document=shown.document, sequence=shown.sequence
        )

    async def PublishPolicySet(
        self, request: pb.PublishPolicySetRequest, context: Context
    ) -> pb.PublishPolicySetResponse:
        _caller(context, "PublishPolicySet")
        document = wire.bounded(request.document, "document", MAX_DOCUMENT)
        cause = cause_of(context, request.request_id)
        version, sequence = await self._policy.policy_sets.publish(document, request.replaces_version, cause)
        return pb.PublishPolicySetResponse(version=version, sequence=sequence)

    async def ListSigningKeys(
        self, _request: pb.ListSigningKeysRequest, context: Context
    ) -> pb.ListSigningKeysResponse:
        _caller(context, "ListSigningKeys")
        keys = (pb.SigningKey(key_id=kid, public_key=raw) for kid, raw in self._signer.public_keys())
        return pb.ListSigningKeysResponse(keys=keys)

    async def _decide(
        self, ask: Ask, token: str, request_id: str, caller: Caller, context: Context
    ) -> Answer:
        cause = cause_of(context, request_id)
        trusted = "service" in caller.roles
        answer = await self._policy.authorization.decide(ask, token, cause, trusted=trusted)
        counters.count(answer)
        return answer


def _caller(context: Context, method: str) -> Caller:
    return allowed(caller_of(context), method)


def _decisions(answer: Answer) -> list[pb.Decision]:
    return [
        wire.decision_to_wire(each.record, each.judgement, each.permit, each.permit_expire_time)
        for each in answer.decisions
    ]


def _approval(shown: ShownApproval) -> pb.Approval:
    return wire.approval_to_wire(shown.requested, shown.state, shown.answered)
