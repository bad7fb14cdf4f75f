"""Receipts, between policy's domain and its protos."""

from provost.policy.v1 import policy_pb2
from services.policy.domain.revocation import Receipt
from services.policy.wire.texts import stamp


def receipt_to_wire(receipt: Receipt) -> policy_pb2.RevocationReceipt:
    return policy_pb2.RevocationReceipt(
        agent_id=receipt.agent_id,
        revocation_sequence=receipt.revocation_sequence,
        revoke_time=stamp(receipt.revoke_time) if receipt.revoke_time else None,
        lost=[
            policy_pb2.PowerLost(
                surface=each.surface,
                service=each.service,
                replica=each.replica,
                powerless_ms=each.powerless_ms,
                ended=each.ended,
                statement=each.statement,
            )
            for each in receipt.lost
        ],
        silent=receipt.silent,
        children=receipt.children,
        waited_ms=receipt.waited_ms,
        signature=receipt.signature,
    )
