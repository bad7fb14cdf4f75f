"""What receipts and keys say, in one line each."""

from collections.abc import Callable
from typing import Any

from google.protobuf.message import Message

from provost.event.v1 import keys_pb2 as keys
from provost.policy.v1 import events_pb2 as policy
from services.ledger.wire.words import cut, listed


def _revocation_confirmed(event: policy.RevocationConfirmed, _: str) -> str:
    receipt = event.receipt
    slowest = max((each.powerless_ms for each in receipt.lost), default=0.0)
    lost = f"{len(receipt.lost)} surfaces lost all power of agent {receipt.agent_id} within {slowest:.1f} ms"
    silent = f"; silent: {listed(map(cut, receipt.silent))}" if receipt.silent else ""
    children = f"; revoked with it: {listed(receipt.children)}" if receipt.children else ""
    return f"{lost}, as each of them has signed{silent}{children}"


def _key_announced(event: keys.SigningKeyAnnounced, _: str) -> str:
    return f"{event.service} signs with key {event.key_id} from here on"


REVOCATIONS: dict[type[Message], Callable[[Any, str], str]] = {
    policy.RevocationConfirmed: _revocation_confirmed,
    keys.SigningKeyAnnounced: _key_announced,
}
