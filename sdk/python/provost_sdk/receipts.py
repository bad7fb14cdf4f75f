"""Receipts of revocations, checked without trusting whoever shows them: every word in one is signed by who said it.

A second reading of docs/revocation.md, on purpose: it shares no code with what makes receipts. The keys come from the
log (`SigningKeyAnnounced`), where a service can announce its own alone; proofs of the ledger say that these events are
in it.
"""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from provost.event.v1 import keys_pb2
from provost.ledger.v1 import ledger_pb2
from provost.policy.v1 import policy_pb2
from provost_sdk.note import NotProved

if TYPE_CHECKING:
    from provost_sdk.client import Provost

ALGORITHM, STATEMENT, RECEIPT = "Ed25519", "power-lost+jwt", "revocation-receipt+jwt"
ANNOUNCED = "SigningKeyAnnounced"
MOST_KEYS = 10_000

Keys = Mapping[tuple[str, str], bytes]
"""32 bytes of Ed25519 public key, by service and key id."""


@dataclass(frozen=True, slots=True)
class Proved:
    """What the signatures of a receipt prove; who was silent has proved nothing."""

    statements: int
    slowest_ms: float
    silent: tuple[str, ...]


async def announced_keys(provost: "Provost") -> Keys:
    """The keys that the ledger knows of; a key of tenant `default` can see them."""
    from provost_sdk.history_calls import gather

    wanted = ledger_pb2.EventFilter(event_type=ANNOUNCED)
    found = await gather(
        lambda size, token: provost.list_events(wanted, page_size=size, page_token=token), MOST_KEYS
    )
    return keys_of(found)


def keys_of(events: Iterable[ledger_pb2.LedgerEvent]) -> Keys:
    """The keys that events announce. One that is not announced where its service alone can is left out."""
    keys: dict[tuple[str, str], bytes] = {}
    for event in events:
        if event.event_type != ANNOUNCED:
            continue
        announced = keys_pb2.SigningKeyAnnounced.FromString(event.payload)
        subject = f"evt.default.{announced.service}.signingkey.{announced.key_id}.{ANNOUNCED}"
        if event.subject == subject and key_id_of(announced.public_key) == announced.key_id:
            keys[announced.service, announced.key_id] = announced.public_key
    return keys


def key_id_of(public_key: bytes) -> str:
    """The thumbprint of an Ed25519 key (RFC 7638, RFC 8037)."""
    text = json.dumps({"crv": "Ed25519", "kty": "OKP", "x": _base64(public_key)}, separators=(",", ":"))
    return _base64(sha256(text.encode()).digest())


def verify_receipt(receipt: policy_pb2.RevocationReceipt, keys: Keys, *, tenant: str = "default") -> Proved:
    """What the receipt proves.

    Raises:
        NotProved: it is not signed by policy as it stands, or one of its statements not by who is said to have made it.
    """
    claims = _signed(receipt.signature, RECEIPT, "policy", keys, "the receipt")
    about = {
        "tenant": tenant,
        "sub": receipt.agent_id,
        "revocation_sequence": receipt.revocation_sequence,
        "receipt": receipt_digest(receipt, tenant=tenant),
    }
    _require_same(claims, about, "the receipt")
    seen = set()
    for each in receipt.lost:
        name = f"{each.service}/{each.replica}:{each.surface}"
        said = _signed(each.statement, STATEMENT, each.service, keys, f"the statement of {name}")
        about = {
            "tenant": tenant,
            "agent_id": receipt.agent_id,
            "revocation_sequence": receipt.revocation_sequence,
            "surface": each.surface,
            "service": each.service,
            "replica": each.replica,
            "powerless_ms": each.powerless_ms,
            "ended": each.ended,
        }
        _require_same(said, about, f"the statement of {name}")
        if name in seen or name in receipt.silent:
            raise NotProved(f"{name} is told of twice")
        seen.add(name)
    slowest = max((each.powerless_ms for each in receipt.lost), default=0.0)
    return Proved(len(seen), slowest, tuple(receipt.silent))


def receipt_digest(receipt: policy_pb2.RevocationReceipt, *, tenant: str = "default") -> str:
    """`sha256:<hex>` of the receipt in canonical JSON (RFC 8785), which for ASCII names and whole numbers is plain."""
    at = receipt.revoke_time
    form = {
        "tenant": tenant,
        "agent_id": receipt.agent_id,
        "revocation_sequence": receipt.revocation_sequence,
        "revoke_time_us": at.seconds * 1_000_000 + at.nanos // 1000,
        "lost": [
            {
                "surface": each.surface,
                "service": each.service,
                "replica": each.replica,
                "powerless_us": round(each.powerless_ms * 1000),
                "ended": each.ended,
                "statement": each.statement,
            }
            for each in receipt.lost
        ],
        "silent": list(receipt.silent),
        "children": list(receipt.children),
        "waited_us": round(receipt.waited_ms * 1000),
    }
    text = json.dumps(form, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return "sha256:" + sha256(text.encode()).hexdigest()


def _signed(token: str, typ: str, service: str, keys: Keys, what: str) -> dict[str, Any]:
    """The claims of a compact JWS (RFC 7515) that a key of `service` has signed."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        head, body, signature = token.split(".")
        header, claims = json.loads(_bytes(head)), json.loads(_bytes(body))
        if (header["alg"], header["typ"]) != (ALGORITHM, typ) or not isinstance(claims, dict):
            raise NotProved(f"{what} is not signed as it should be")
        key = keys.get((service, header["kid"]))
        if key is None:
            raise NotProved(f"{what} is signed by a key that {service} has not announced: {header['kid']}")
        Ed25519PublicKey.from_public_bytes(key).verify(_bytes(signature), f"{head}.{body}".encode())
    except InvalidSignature:
        raise NotProved(f"the signature of {what} does not fit") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise NotProved(f"{what} is not signed") from None
    return claims


def _require_same(claims: Mapping[str, Any], about: Mapping[str, Any], what: str) -> None:
    wrong = [name for name, value in about.items() if claims.get(name) != value]
    if wrong:
        raise NotProved(f"{what} was signed with another {', '.join(wrong)}")


def _base64(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
