"""Policy over gRPC: standings, decisions, approvals, revocations, and the keys that verify sessions."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import grpc.aio

from chassis import process
from chassis.rpc.client import call
from chassis.signing import PublicKey, Verifier, public_key_of
from kernel.events import Cause
from kernel.faults import Fault, Unauthenticated
from provost.policy.v1 import policy_pb2 as pb
from provost.policy.v1.policy_pb2_grpc import PolicyServiceStub
from services.orchestrator.domain.records import Action, Decision
from services.orchestrator.ports.policy import Answer, RunContext, Session, Standing
from services.orchestrator.wire import ACTION, CONTEXT, DECISION


class GrpcPolicy:
    """`ports.PolicyDoor`."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._policy: Any = PolicyServiceStub(channel)

    async def standing(self, agent_id: str, cause: Cause) -> Standing:
        agent = (await call(self._policy.GetAgent, pb.GetAgentRequest(agent_id=agent_id), cause)).agent
        revoked, suspended = (
            agent.state == state for state in (pb.AGENT_STATE_REVOKED, pb.AGENT_STATE_SUSPENDED)
        )
        why = agent.revoke_reason if revoked else agent.suspend_reason
        return Standing(agent_id, revoked, why, suspended)

    async def authorize(
        self,
        token: str,
        context: RunContext,
        actions: Sequence[Action],
        approval_ids: Mapping[str, str],
        cause: Cause,
    ) -> tuple[Decision, ...]:
        request = pb.BatchAuthorizeRequest(
            request_id=cause.request_id,
            session_token=token,
            context=CONTEXT.to_message(context),
            actions=[ACTION.to_message(action) for action in actions],
            approval_ids=approval_ids,
        )
        answer = await call(self._policy.BatchAuthorize, request, cause)
        return tuple(DECISION.to_record(decision) for decision in answer.decisions)

    async def request_approval(
        self, context: RunContext, action: Action, digest: str, why: str, requested_by: str, cause: Cause
    ) -> str:
        request = pb.RequestApprovalRequest(
            request_id=cause.request_id,
            context=CONTEXT.to_message(context),
            action=ACTION.to_message(action),
            action_digest=digest,
            why=why,
            requested_by=requested_by,  # for as long as the rule says that asks for it
        )
        return str((await call(self._policy.RequestApproval, request, cause)).approval.approval_id)

    async def approval(self, approval_id: str, cause: Cause) -> Answer:
        request = pb.GetApprovalRequest(approval_id=approval_id)
        approval = (await call(self._policy.GetApproval, request, cause)).approval
        expires = approval.expire_time.ToDatetime(tzinfo=UTC) if approval.HasField("expire_time") else None
        return Answer(
            approval_id,
            pb.ApprovalState.Name(approval.state).removeprefix("APPROVAL_STATE_"),
            expires,
        )

    async def settle(self, reservation_id: str, spent: bool, cause: Cause) -> None:
        request = pb.SettleReservationRequest(
            request_id=cause.request_id, reservation_id=reservation_id, whole=spent
        )
        await call(self._policy.SettleReservation, request, cause)

    async def revoke(self, agent_id: str, kind: str, details: str, cause: Cause) -> None:
        request = pb.RevokeAgentRequest(
            request_id=cause.request_id, agent_id=agent_id, kind=kind, details=details[:1000]
        )
        try:
            await call(self._policy.RevokeAgent, request, cause)
        except Fault as fault:
            if fault.reason != "AGENT_ALREADY_REVOKED":
                raise


class PolicySessions:
    """`ports.Sessions`: tokens are verified here, with policy's public keys; an unknown key is asked for once more."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._policy: Any = PolicyServiceStub(channel)
        self._keys: dict[str, PublicKey] = {}
        self._verifier = Verifier(self._keys)

    async def session_of(self, token: str, cause: Cause) -> Session:
        try:
            return self._session(token)
        except Unauthenticated as fault:
            if fault.reason == "TOKEN_EXPIRED":
                raise
        answer = await call(self._policy.ListSigningKeys, pb.ListSigningKeysRequest(), cause)
        self._keys.update({key.key_id: public_key_of(key.public_key) for key in answer.keys})
        return self._session(token)

    def _session(self, token: str) -> Session:
        claims = self._verifier.verify(token, "provost", process.now())
        expire_time = datetime.fromtimestamp(claims["exp"], UTC)
        return Session(str(claims.get("tenant", "")), str(claims.get("agent_id", "")), expire_time)
