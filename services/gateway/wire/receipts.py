"""Revocations and their receipts."""

from dataclasses import fields

from provost.policy.v1 import policy_pb2
from services.gateway.domain.receipts import PowerLost, Receipt, RevokedAgent
from services.gateway.domain.records import Agent
from services.gateway.wire.policy import agent_from_wire
from services.gateway.wire.values import time_of


def receipt_from_wire(receipt: policy_pb2.RevocationReceipt) -> Receipt:
    lost = (
        PowerLost(each.surface, each.service, each.replica, each.powerless_ms, each.ended, each.statement)
        for each in receipt.lost
    )
    return Receipt(
        agent_id=receipt.agent_id,
        revocation_sequence=receipt.revocation_sequence,
        revoke_time=time_of(receipt, "revoke_time"),
        lost=tuple(lost),
        silent=tuple(receipt.silent),
        children=tuple(receipt.children),
        waited_ms=receipt.waited_ms,
        signature=receipt.signature,
    )


def revoked_from_wire(answer: policy_pb2.RevokeAgentResponse) -> RevokedAgent:
    agent = agent_from_wire(answer.agent)
    shown = {each.name: getattr(agent, each.name) for each in fields(Agent)}
    receipt = receipt_from_wire(answer.receipt) if answer.HasField("receipt") else None
    return RevokedAgent(**shown, receipt=receipt)
