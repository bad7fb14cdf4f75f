"""Cosignatures of witnesses on a checkpoint: C2SP tlog-cosignature, `cosignature/v1`, Ed25519.

A witness signs a head only if it grew out of the last one it signed, so whoever demands its signature cannot be shown
another history than everybody else. Needs no service: a note, and the verifier keys of the witnesses one trusts.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from provost_sdk.note import (
    MAX_NOTE_CHARACTERS,
    MAX_SIGNATURES,
    Key,
    NotProved,
    key_parts,
    key_with,
    read_signature,
    verifies,
)

MAX_AHEAD_SECONDS = 300
"""How far a witness's clock may be ahead of ours before its word on the time counts for nothing."""

_COSIGNATURE = b"\x04"
_MAX_TIME = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Cosignature:
    """That `witness` had seen no larger head, and none that contradicts, at `at` (POSIX seconds, its own clock)."""

    witness: str
    at: int


def read_witness_key(text: str) -> Key:
    """The key in a witness's verifier key, `<name>+<8 hex digits>+<base64>`, of signature type 0x04.

    Raises:
        NotProved: it is none, that of a log, or its id belongs to another name or key.
    """
    name, shown_id, material = key_parts(text)
    if material[:1] == b"\x01":
        raise NotProved(f"{name} is the verifier key of a log, not of a witness")
    if material[:1] != _COSIGNATURE or len(material) != 33:
        raise NotProved("not a verifier key of an Ed25519 witness (cosignature/v1)")
    return key_with(name, shown_id, material)


def message(text: str, at: int) -> bytes:
    """What a witness signs at `at` (POSIX seconds) for the note `text`, whose last newline is part of it."""
    return f"cosignature/v1\ntime {at}\n{text}".encode()


def signature_lines(note: str) -> tuple[str, list[tuple[str, bytes]]]:
    """Text of a note, and name and raw signature (key id first) of each of its lines; nothing is verified.

    Raises:
        NotProved: it is no note.
    """
    text, blank, tail = note.rpartition("\n\n")
    if len(note) > MAX_NOTE_CHARACTERS or not blank or not tail.endswith("\n"):
        raise NotProved("not a signed note: no signatures behind an empty line, or too long")
    lines = tail[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise NotProved("the note bears too many signatures")
    return text + "\n", [read_signature(each) for each in lines]


def cosigned(
    note: str,
    witnesses: Sequence[Key],
    quorum: int | None = None,
    max_age_seconds: float | None = None,
    *,
    now: float | None = None,
) -> list[Cosignature]:
    """What those of `witnesses` have signed of a checkpoint, one for each, the newest first.

    The log's own signature is looked at elsewhere (`note.open_checkpoint`). Without `quorum` all must have signed;
    with `max_age_seconds` only what was signed so recently counts (`now`: POSIX seconds, the clock unless given).

    Raises:
        NotProved: fewer have; or one in the name of such a witness does not verify.
        ValueError: the quorum is not from 1 to the number of different witnesses.
    """
    keys = {each.public: each for each in witnesses}  # one key under two names is one witness
    needed = len(keys) if quorum is None else quorum
    if not 1 <= needed <= len(keys):
        raise ValueError(f"a quorum of {needed} out of {len(keys)} witnesses")
    text, lines = signature_lines(note)
    found: list[Cosignature] = []
    for key in keys.values():
        times = [
            _verified(text, raw, key) for name, raw in lines if (name, raw[:4]) == (key.name, key.key_id)
        ]
        if times:
            found.append(Cosignature(key.name, max(times)))
    if max_age_seconds is not None:
        at = time.time() if now is None else now
        recent = [each for each in found if at - max_age_seconds <= each.at <= at + MAX_AHEAD_SECONDS]
        if len(recent) < needed <= len(found):
            oldest = min(each.at for each in found)
            raise NotProved(
                f"{len(recent)} of the {needed} witnesses asked for have signed within {max_age_seconds:g} seconds; "
                f"the oldest signature is {at - oldest:.0f} seconds old"
            )
        found = recent
    if len(found) < needed:
        missing = ", ".join(sorted({each.name for each in keys.values()} - {each.witness for each in found}))
        raise NotProved(
            f"{len(found)} of the {needed} witnesses asked for have signed this head; not so {missing}"
        )
    return sorted(found, key=lambda each: -each.at)


def _verified(text: str, raw: bytes, key: Key) -> int:
    at = int.from_bytes(raw[4:12], "big")
    if len(raw) != 4 + 8 + 64 or at > _MAX_TIME:
        raise NotProved(f"the cosignature in the name of {key.name} is not a time and an Ed25519 signature")
    if not verifies(key.public, message(text, at), raw[12:]):
        raise NotProved(f"the cosignature in the name of {key.name} does not verify")
    return at
