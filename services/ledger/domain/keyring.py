"""Every key a log has ever signed with, as evidence: a chain of signed notes, one for each change of keys.

A note says which key begins or ends to sign and at which tree size, and holds the hash of all notes before it:

    <origin>/keys
    provost ledger keys v1
    <number, from 1>
    introduced | retired
    <verifier key>
    <tree size: of the last head that was signed>
    <time, RFC 3339>
    <SHA-256 of everything before, hex>

The first introduces the first key and is signed by that key alone. Each later introduction is signed by the new key and
by one that signed before; each retirement by a key that stays. Whoever trusts one key of the chain so has reason to
trust the others. No verifier takes such a note for a checkpoint: its origin is another, and it has no size.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

from services.ledger.domain import checkpoint as notes
from services.ledger.domain.checkpoint import Checkpoint, MalformedNote, Sign, VerifierKey, Verify

FORMAT = "provost ledger keys v1"
INTRODUCED, RETIRED = "introduced", "retired"
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z", re.ASCII)
_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)

Signers = Sequence[tuple[VerifierKey, Sign]]


class Change(NamedTuple):
    """A key that began or ended to sign, when the last signed head had `size` leaves."""

    act: str
    key: VerifierKey
    size: int
    at: str


@dataclass(frozen=True, slots=True)
class KeyHistory:
    """All changes, oldest first, and the text that proves them."""

    origin: str
    changes: tuple[Change, ...] = ()
    text: str = ""

    @property
    def ever(self) -> tuple[VerifierKey, ...]:
        """Every key, oldest first."""
        return tuple(each.key for each in self.changes if each.act == INTRODUCED)

    @property
    def active(self) -> tuple[VerifierKey, ...]:
        """The keys that sign now, oldest first."""
        return tuple(key for key in self.ever if self.retired_at(key) is None)

    def retired_at(self, key: VerifierKey) -> int | None:
        """The size of the largest tree that `key` may have signed; None while it signs."""
        return next((each.size for each in self.changes if (each.act, each.key) == (RETIRED, key)), None)


def opened(note: str, history: KeyHistory, verify: Verify) -> Checkpoint:
    """The checkpoint of a note, signed by a key that signed trees of its size.

    Raises:
        MalformedNote: it is not, or the signature of a key of the log does not verify.
    """
    found, problem = None, MalformedNote(f"not signed by {history.origin}")
    _, signatures = notes.parse_note(note)
    named = {(each.name, each.key_id) for each in signatures}
    for key in history.ever:
        if (key.name, key.id) not in named:
            continue
        checkpoint = notes.open_checkpoint(note, key, verify)
        last = history.retired_at(key)
        if last is None or checkpoint.size <= last:
            found = checkpoint
        else:
            problem = MalformedNote(
                f"{key.text} was retired at {last} leaves and signs none of {checkpoint.size}"
            )
    if found is None:
        raise problem
    return found


def changed(history: KeyHistory, change: Change, signers: Signers, verify: Verify) -> KeyHistory:
    """The history with one more change.

    Raises:
        MalformedNote: it is none that could be made, or the signers are not those it needs.
    """
    text = "\n".join(
        (
            f"{history.origin}/keys",
            FORMAT,
            str(len(history.changes) + 1),
            change.act,
            change.key.text,
            str(change.size),
            change.at,
            sha256(history.text.encode()).hexdigest(),
        )
    )
    return _with(history, notes.sign_with(f"{text}\n", signers), verify)


def read_history(text: str, origin: str, verify: Verify) -> KeyHistory:
    """The history in `text`.

    Raises:
        MalformedNote: it is none of this log, or not every change of it is proved.
    """
    history = KeyHistory(origin)
    parts = text.split("\n\n")
    if len(parts) % 2:
        raise MalformedNote("not a history of keys: a change without signatures")
    for body, signatures in zip(parts[::2], parts[1::2], strict=True):
        end = "" if signatures.endswith("\n") else "\n"
        history = _with(history, f"{body}\n\n{signatures}{end}", verify)
    if history.text != text:
        raise MalformedNote("not a history of keys: something stands between or behind its changes")
    return history


def _with(history: KeyHistory, note: str, verify: Verify) -> KeyHistory:
    """`history` and one more note of it, checked."""
    body, signatures = notes.parse_note(note)
    lines = body[:-1].split("\n")
    number = len(history.changes) + 1
    before = sha256(history.text.encode()).hexdigest()
    if len(lines) != 8 or lines[:3] != [f"{history.origin}/keys", FORMAT, str(number)] or lines[7] != before:
        raise MalformedNote(f"change {number} of keys is not the one that follows")
    act, key = lines[3], notes.parse_verifier_key(lines[4])
    if _NUMBER.fullmatch(lines[5]) is None or _TIME.fullmatch(lines[6]) is None:
        raise MalformedNote(f"change {number} of keys says no size or time")
    if key.name != history.origin:
        raise MalformedNote(f"change {number} is of a key of {key.name}")
    named = {(each.name, each.key_id) for each in signatures}
    by = {each for each in {*history.active, key} if (each.name, each.id) in named}
    for each in by:
        notes.open_note(note, each, verify)
    if len(by) != len(signatures):
        raise MalformedNote(f"change {number} of keys is signed by a stranger")
    others = by & {*history.active} - {key}
    match act:
        case "introduced":
            fits = key not in history.ever and key in by and (bool(others) or not history.changes)
        case "retired":
            fits = key in history.active and bool(others)
        case _:
            fits = False
    if not fits:
        raise MalformedNote(f"change {number} of keys is none, or not signed by those it needs")
    change = Change(act, key, int(lines[5]), lines[6])
    text = f"{history.text}\n{note}" if history.text else note
    return KeyHistory(history.origin, (*history.changes, change), text)
