"""What a witness is asked, and what it may answer: C2SP tlog-witness, `add-checkpoint`. Pure: no disk, no clock, no
key.

The order in which a request is looked at, and what each refusal is called, are the specification's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from provost_sdk.cosignatures import signature_lines
from provost_sdk.note import Checkpoint, Key, NotProved, open_note, read_hash, read_number
from provost_sdk.proofs import EMPTY, check_consistency

MAX_REQUEST_BYTES = 64 * 1024
MAX_HASHES = 63


class Malformed(Exception):
    """Not a request; the text says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Request:
    """A head to be signed, as `text` inside `note`, and the proof that it grew out of the tree of `old` leaves."""

    old: int
    path: tuple[bytes, ...]
    head: Checkpoint
    text: str
    note: str


class Refusal(Enum):
    """Why a head is not signed."""

    UNKNOWN_LOG = "no log of this origin is trusted here"
    UNSIGNED = "none of its signatures is by a key that is trusted for this origin"
    OTHER_SIZE = "the proof does not begin at the head that was last signed here"
    OTHER_ROOT = "a head of this size was signed here, with another root"
    INCONSISTENT = "the proof does not show that it grew out of the head that was last signed here"

    @property
    def worth_keeping(self) -> bool:
        """Whether the log has signed what may contradict the head before: another root for one size always does."""
        return self in {Refusal.OTHER_ROOT, Refusal.INCONSISTENT}


def read_request(body: bytes) -> Request:
    """The request in `body`.

    Raises:
        Malformed: it is none, or its old size is larger than the head's.
    """
    try:
        asked, blank, note = body.decode().partition("\n\n")
        first, *hashes = asked.split("\n")
        if not blank or not first.startswith("old "):
            raise Malformed("not 'old <size>', the proof's lines, an empty line and a checkpoint")
        if len(hashes) > MAX_HASHES:
            raise Malformed(f"a proof has at most {MAX_HASHES} lines")
        old = read_number(first.removeprefix("old "), "the old size")
        path = tuple(read_hash(each, "a line of the proof") for each in hashes)
        text, _ = signature_lines(note)
        head = _head(text)
    except UnicodeDecodeError:
        raise Malformed("not UTF-8") from None
    except NotProved as problem:
        raise Malformed(str(problem)) from None
    if old > head.size:
        raise Malformed(f"the old size {old} is larger than the head's, {head.size}")
    return Request(old, path, head, text, note)


def refusal_of(request: Request, trusted: Sequence[Key], last: Checkpoint | None) -> Refusal | None:
    """Why the head must not be signed; None when it may be: then it is the new `last`, before it is signed.

    `trusted` are the keys of the log that the request names, `last` is the head of it that was last signed here.
    """
    if not trusted:
        return Refusal.UNKNOWN_LOG
    if not any(_signed(request.note, key) for key in trusted):
        return Refusal.UNSIGNED
    known = last or Checkpoint(request.head.origin, 0, EMPTY)
    if request.old != known.size:
        return Refusal.OTHER_SIZE
    if request.head.size == known.size and request.head.root != known.root:
        return Refusal.OTHER_ROOT
    try:
        check_consistency(known, request.head, request.path)
    except NotProved:
        return Refusal.INCONSISTENT
    return None


def _head(text: str) -> Checkpoint:
    lines = text[:-1].split("\n")
    if len(lines) < 3 or "" in lines or any(each < " " and each != "\n" for each in text):
        raise Malformed(
            "the checkpoint is not three or more lines, none of them empty, without control characters"
        )
    return Checkpoint(lines[0], read_number(lines[1], "the tree size"), read_hash(lines[2], "the root"))


def _signed(note: str, key: Key) -> bool:
    try:
        open_note(note, key)
    except NotProved:
        return False
    return True
