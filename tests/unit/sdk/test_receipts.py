"""A receipt proves what its signatures say, and nothing else: checked by code that shares none with what made it."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from chassis import powers
from chassis.powers import words
from chassis.signing import SigningKey
from kernel.events import Stream
from provost.event.v1 import keys_pb2
from provost.ledger.v1 import ledger_pb2
from provost.policy.v1 import policy_pb2
from provost_sdk.note import NotProved
from provost_sdk.receipts import Keys, keys_of, verify_receipt
from services.policy.adapters.signing import FileSigner
from services.policy.domain.revocation import PowerLost, Receipt
from services.policy.wire.revocation import receipt_to_wire

AT = datetime(2026, 3, 1, 12, 30, 15, 123456, UTC)


def announcement(service: str, key_id: str, public_key: bytes) -> ledger_pb2.LedgerEvent:
    event = keys_pb2.SigningKeyAnnounced(service=service, key_id=key_id, public_key=public_key)
    subject = Stream("default", service, "signingkey", key_id).subject("SigningKeyAnnounced")
    return ledger_pb2.LedgerEvent(
        subject=subject, event_type="SigningKeyAnnounced", payload=event.SerializeToString()
    )


def raw(key: SigningKey) -> bytes:
    from base64 import urlsafe_b64decode

    return urlsafe_b64decode(key.public_jwk()["x"] + "=")


@pytest.fixture
def state(tmp_path: Path) -> SigningKey:
    return SigningKey.load_or_create(tmp_path / "state.pem")


@pytest.fixture
def keys(tmp_path: Path, state: SigningKey) -> Keys:
    ((policys, public),) = FileSigner(tmp_path / "policy.pem").public_keys()
    return keys_of([announcement("policy", policys, public), announcement("state", state.kid, raw(state))])


@pytest.fixture
def receipt(tmp_path: Path, state: SigningKey) -> policy_pb2.RevocationReceipt:
    def said(surface: str, powerless_ms: float, ended: int) -> PowerLost:
        word = powers.Word("default", "a", 7, surface, "state", "3f2a", powerless_ms, ended)
        token = words.said(state, word, AT.timestamp())
        return PowerLost(surface, "state", "3f2a", powerless_ms, ended, token)

    made = Receipt(
        "a", 7, AT, (said("locks", 12.345, 1), said("writes", 0.0, 0)), ("actuators/1:permits",), ("b",), 99.001, ""
    )  # fmt: skip
    signature = FileSigner(tmp_path / "policy.pem").sign_receipt("default", made, AT)
    shown = receipt_to_wire(made)
    shown.signature = signature
    return policy_pb2.RevocationReceipt.FromString(shown.SerializeToString())


def test_what_policy_signs_is_proved(receipt: policy_pb2.RevocationReceipt, keys: Keys) -> None:
    proved = verify_receipt(receipt, keys)
    assert (proved.statements, proved.slowest_ms, proved.silent) == (2, 12.345, ("actuators/1:permits",))


def _other(change: Callable[[policy_pb2.RevocationReceipt], object]) -> Callable[..., object]:
    return change


@pytest.mark.parametrize(
    "change",
    [
        _other(lambda r: r.silent.pop()),
        _other(lambda r: r.children.append("c")),
        _other(lambda r: setattr(r, "waited_ms", 1.0)),
        _other(lambda r: setattr(r, "agent_id", "b")),
        _other(lambda r: setattr(r, "revocation_sequence", 8)),
        _other(lambda r: setattr(r.revoke_time, "nanos", 0)),
        _other(lambda r: setattr(r.lost[0], "powerless_ms", 1.0)),
        _other(lambda r: setattr(r.lost[0], "ended", 9)),
        _other(lambda r: setattr(r.lost[0], "surface", "runs")),
        _other(lambda r: setattr(r.lost[0], "statement", r.lost[1].statement)),
        _other(lambda r: r.lost.pop()),
        _other(lambda r: setattr(r, "signature", "")),
        _other(lambda r: setattr(r, "signature", r.lost[0].statement)),
    ],
)
def test_whatever_is_changed_is_noticed(
    receipt: policy_pb2.RevocationReceipt, keys: Keys, change: Callable[..., object]
) -> None:
    change(receipt)
    with pytest.raises(NotProved):
        verify_receipt(receipt, keys)


def test_policy_cannot_speak_for_others(
    receipt: policy_pb2.RevocationReceipt, keys: Keys, tmp_path: Path
) -> None:
    # Signed anew by policy itself, over a figure that state never said.
    kept = Receipt(
        "a", 7, AT, (PowerLost("locks", "state", "3f2a", 1.0, 1, receipt.lost[0].statement),), (), (), 5.0, ""
    )  # fmt: skip
    forged = receipt_to_wire(kept)
    forged.signature = FileSigner(tmp_path / "policy.pem").sign_receipt("default", kept, AT)
    with pytest.raises(NotProved, match="another powerless_ms"):
        verify_receipt(forged, keys)
    word = powers.Word("default", "a", 7, "locks", "state", "3f2a", 1.0, 1)
    own = SigningKey.load_or_create(tmp_path / "policy.pem")
    kept = Receipt(
        "a", 7, AT, (PowerLost("locks", "state", "3f2a", 1.0, 1, words.said(own, word, 0)),), (), (), 5.0, ""
    )
    forged = receipt_to_wire(kept)
    forged.signature = FileSigner(tmp_path / "policy.pem").sign_receipt("default", kept, AT)
    with pytest.raises(NotProved, match="state has not announced"):
        verify_receipt(forged, keys)


def test_another_tenants_receipt_is_none(receipt: policy_pb2.RevocationReceipt, keys: Keys) -> None:
    with pytest.raises(NotProved):
        verify_receipt(receipt, keys, tenant="acme")


def test_keys_count_where_their_service_alone_can_announce_them(state: SigningKey) -> None:
    good = announcement("state", state.kid, raw(state))
    assert list(keys_of([good])) == [("state", state.kid)]
    for subject in (
        good.subject.replace(".state.", ".policy."),
        good.subject.replace("default", "acme"),
        good.subject.replace(state.kid, "x"),
    ):
        moved = ledger_pb2.LedgerEvent(subject=subject, event_type=good.event_type, payload=good.payload)
        assert not keys_of([moved])
    assert not keys_of([announcement("state", state.kid, b"\0" * 32)])
