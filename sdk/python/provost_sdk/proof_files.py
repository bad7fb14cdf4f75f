"""Proofs as files: that an event is in the log (C2SP tlog-proof), and that a later head contains an earlier one (what
a C2SP tlog-witness is sent). Written from what the ledger answers, checked with a verifier key alone.

A tlog-proof's `extra` is a JSON object with what the leaf is made of: `subject`, `header` (the header block as
published, base64) and `payload` (base64), or `payload_sha256` (hex) where the payload is kept back. It is not trusted:
the leaf is recomputed from it.
"""

import json
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from provost_sdk.note import Checkpoint, Key, NotProved, from_base64, open_checkpoint, read_hash, read_number
from provost_sdk.proofs import check_consistency, check_inclusion, hash_leaf, leaf_of

FIRST_LINE = "c2sp.org/tlog-proof@v1"
MAX_HASHES = 63


@dataclass(frozen=True, slots=True)
class ProvedEvent:
    """An event that a proof has shown to be in the log. `payload` is None when the proof holds only its hash."""

    index: int
    head: Checkpoint
    subject: str
    header: bytes
    payload: bytes | None
    payload_sha256: bytes


@dataclass(frozen=True, slots=True)
class ProvedGrowth:
    """Two heads of one log, the later of which contains all of the earlier."""

    old: Checkpoint
    new: Checkpoint


def write_event_proof(
    index: int,
    path: Sequence[bytes],
    checkpoint: str,
    subject: str,
    header: bytes,
    payload: bytes,
    *,
    with_payload: bool = True,
) -> str:
    """The text of a tlog-proof; without its payload, an event is proved to have had a payload with that hash."""
    extra = {"subject": subject, "header": _text(header)}
    extra |= {"payload": _text(payload)} if with_payload else {"payload_sha256": sha256(payload).hexdigest()}
    lines = [
        FIRST_LINE,
        f"extra {_text(json.dumps(extra, separators=(',', ':')).encode())}",
        f"index {index}",
        *map(_text, path),
    ]
    return "\n".join(lines) + "\n\n" + checkpoint


def check_event_proof(text: str, key: Key | Sequence[Key]) -> ProvedEvent:
    """The event that `text` proves to be in the log of `key`, or of one of several.

    Raises:
        NotProved: it is no such proof, or it proves nothing.
    """
    lines, checkpoint = _split(text)
    if lines[0] != FIRST_LINE:
        raise NotProved(f"not a proof: its first line is not {FIRST_LINE}")
    if len(lines) < 3 or not lines[1].startswith("extra ") or not lines[2].startswith("index "):
        raise NotProved("the proof's second and third line are not 'extra …' and 'index …'")
    subject, header, payload, payload_sha256 = _extra(lines[1].removeprefix("extra "))
    index = read_number(lines[2].removeprefix("index "), "the index")
    path = _hashes(lines[3:])
    head = open_checkpoint(checkpoint, key)
    check_inclusion(hash_leaf(leaf_of(subject.encode(), header, payload_sha256)), index, path, head)
    return ProvedEvent(index, head, subject, header, payload, payload_sha256)


def write_growth_proof(old_size: int, path: Sequence[bytes], checkpoint: str) -> str:
    """The text that proves the tree of `checkpoint` to begin with the tree of `old_size` leaves."""
    return "\n".join([f"old {old_size}", *map(_text, path)]) + "\n\n" + checkpoint


def check_growth_proof(old_checkpoint: str, text: str, key: Key | Sequence[Key]) -> ProvedGrowth:
    """That the head in `text` contains all of the earlier `old_checkpoint`; each is signed by one of the keys.

    Raises:
        NotProved: it is no such proof, or it proves nothing.
    """
    old = open_checkpoint(old_checkpoint, key)
    lines, checkpoint = _split(text)
    if not lines[0].startswith("old "):
        raise NotProved("not a proof of growth: its first line is not 'old <size>'")
    size = read_number(lines[0].removeprefix("old "), "the old size")
    if size != old.size:
        raise NotProved(f"the proof begins at {size} leaves, the earlier head has {old.size}")
    path = _hashes(lines[1:])
    new = open_checkpoint(checkpoint, key)
    check_consistency(old, new, path)
    return ProvedGrowth(old, new)


def _split(text: str) -> tuple[list[str], str]:
    head, blank, checkpoint = text.partition("\n\n")
    if not blank:
        raise NotProved("not a proof: no checkpoint behind an empty line")
    return head.split("\n"), checkpoint


def _hashes(lines: Sequence[str]) -> list[bytes]:
    if len(lines) > MAX_HASHES:
        raise NotProved("the proof has more hashes than any tree is high")
    return [read_hash(line, "a hash of the proof") for line in lines]


def _extra(encoded: str) -> tuple[str, bytes, bytes | None, bytes]:
    try:
        given: Any = json.loads(from_base64(encoded, "the proof's extra data"))
        subject, header = given["subject"], from_base64(given["header"], "the header block")
        subject.encode()
        if "payload" in given:
            payload = from_base64(given["payload"], "the payload")
            return subject, header, payload, sha256(payload).digest()
        payload_sha256 = bytes.fromhex(given["payload_sha256"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise NotProved(
            "the proof's extra data is no JSON object with subject, header and payload or payload_sha256"
        ) from None
    if len(payload_sha256) != 32 or payload_sha256.hex() != given["payload_sha256"]:
        raise NotProved("the payload's hash is not 64 hex digits")
    return subject, header, None, payload_sha256


def _text(raw: bytes) -> str:
    return b64encode(raw).decode()
