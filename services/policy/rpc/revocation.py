"""Revocations, and the receipts for them."""

from chassis.rpc.cause import Context, cause_of
from provost.policy.v1 import policy_pb2 as pb
from provost.policy.v1.policy_pb2_grpc import PolicyServiceServicer
from services.policy.handlers import Policy
from services.policy.rpc.callers import admitted
from services.policy.wire.agents import agent_to_wire
from services.policy.wire.revocation import receipt_to_wire
from services.policy.wire.texts import MAX_ID, MAX_TEXT, bounded


class RevocationRpc(PolicyServiceServicer):
    """Power taken away, and proof of it."""

    _policy: Policy

    async def RevokeAgent(self, request: pb.RevokeAgentRequest, context: Context) -> pb.RevokeAgentResponse:
        tenant = admitted(context, "RevokeAgent").tenant
        kind = bounded(request.kind, "kind", MAX_ID, least=0)
        details = bounded(request.details, "details", MAX_TEXT, least=0)
        cause = cause_of(context, request.request_id)
        answer = await self._policy.revocation.revoke(request.agent_id, kind, details, request.wait_ms, cause)
        return pb.RevokeAgentResponse(
            agent=agent_to_wire(answer.agent, self._policy.promotions.record(tenant, answer.agent.agent_id)),
            sequence=answer.sequence,
            receipt=receipt_to_wire(answer.receipt) if answer.receipt is not None else None,
        )

    async def GetRevocationReceipt(
        self, request: pb.GetRevocationReceiptRequest, context: Context
    ) -> pb.GetRevocationReceiptResponse:
        tenant = admitted(context, "GetRevocationReceipt").tenant
        receipt = await self._policy.revocation.receipt(tenant, request.agent_id, request.at_least_sequence)
        return pb.GetRevocationReceiptResponse(receipt=receipt_to_wire(receipt))
