"""Tree heads as others read them: C2SP tlog-checkpoint inside a C2SP signed-note, Ed25519, and verifier keys.

Only the text; whoever holds the key signs, whoever has cryptography verifies.
"""

import base64
import binascii
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from kernel.faults import Invalid
from services.ledger.domain.tree import HASH_BYTES

ED25519 = b"\x01"
PUBLIC_KEY_BYTES = 32
MAX_NOTE_BYTES = 1_000_000
MAX_SIGNATURES = 100
_KEY_ID_BYTES = 4
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")
_KEY_ID = re.compile(r"[0-9a-f]{8}")

Sign = Callable[[bytes], bytes]
Verify = Callable[[bytes, bytes, bytes], bool]
"""Whether (public key, message, signature) belong together; Ed25519, RFC 8032."""


class MalformedNote(Invalid):
    """Not a signed note, not a checkpoint, or not a verifier key."""

    def __init__(self, problem: str) -> None:
        super().__init__("MALFORMED_MESSAGE", f"not a signed checkpoint: {problem}", field="checkpoint")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The head of one log's tree."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        return f"{self.origin}\n{self.size}\n{_to_base64(self.root)}\n"


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A name and an Ed25519 public key; as text, the vkey `<name>+<key id>+<base64 of type and key>`."""

    name: str
    public_key: bytes

    @property
    def id(self) -> bytes:
        return sha256(self.name.encode() + b"\n" + ED25519 + self.public_key).digest()[:_KEY_ID_BYTES]

    @property
    def text(self) -> str:
        return f"{self.name}+{self.id.hex()}+{_to_base64(ED25519 + self.public_key)}"


@dataclass(frozen=True, slots=True)
class Signature:
    name: str
    key_id: bytes
    signature: bytes


def parse_checkpoint(text: str) -> Checkpoint:
    """The checkpoint in a note's text; extension lines are passed over.

    Raises:
        MalformedNote: fewer than three lines, an empty line, or one that is not what it must be.
    """
    lines = text.split("\n")
    if len(lines) < 4 or lines.pop() or not all(lines):
        raise MalformedNote("the text is not three or more non-empty lines")
    origin, size, root = lines[:3]
    if _SIZE.fullmatch(size) is None:
        raise MalformedNote("the tree size is not a plain decimal number")
    root_hash = _from_base64(root)
    if len(root_hash) != HASH_BYTES:
        raise MalformedNote("the root is not 32 bytes")
    return Checkpoint(origin, int(size), root_hash)


def parse_verifier_key(text: str) -> VerifierKey:
    """Raises MalformedNote unless `text` is an Ed25519 vkey whose key id fits its name and key."""
    name, _, rest = text.partition("+")
    key_id, _, encoded = rest.partition("+")
    material = _from_base64(encoded)
    if not is_key_name(name) or _KEY_ID.fullmatch(key_id) is None:
        raise MalformedNote("a verifier key is <name>+<8 hex digits>+<base64>")
    if material[:1] != ED25519 or len(material) != 1 + PUBLIC_KEY_BYTES:
        raise MalformedNote("not an Ed25519 verifier key")
    key = VerifierKey(name, material[1:])
    if key.id.hex() != key_id:
        raise MalformedNote("the key id does not belong to this name and key")
    return key


def is_key_name(name: str) -> bool:
    """Whether `name` may name a key: not empty, no spaces, no plus, no control characters."""
    return bool(name) and "+" not in name and not any(each.isspace() or each < " " for each in name)


def sign_with(text: str, signers: Sequence[tuple[VerifierKey, Sign]]) -> str:
    """`text` as a note, signed by each in turn, with the private half of the key that stands beside it."""
    raw = text.encode()
    lines = (f"— {key.name} {_to_base64(key.id + sign(raw))}\n" for key, sign in signers)
    return f"{text}\n{''.join(lines)}"


def parse_note(note: str) -> tuple[str, tuple[Signature, ...]]:
    """Text and signatures of a note, nothing verified.

    Raises:
        MalformedNote: it is not of the form of C2SP signed-note.
    """
    if len(note) > MAX_NOTE_BYTES or any(each < " " and each != "\n" for each in note):
        raise MalformedNote("too long, or control characters in it")
    head, blank, tail = note.rpartition("\n\n")
    if not blank or not tail.endswith("\n"):
        raise MalformedNote("no signatures behind a blank line")
    lines = tail[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise MalformedNote("too many signatures")
    return head + "\n", tuple(_signature(line) for line in lines)


def open_note(note: str, key: VerifierKey, verify: Verify) -> str:
    """The text of a note that `key` has signed; signatures of other keys are passed over.

    Raises:
        MalformedNote: not a note, not signed by `key`, or its signature does not verify.
    """
    text, signatures = parse_note(note)
    ours = [each for each in signatures if (each.name, each.key_id) == (key.name, key.id)]
    if not ours:
        raise MalformedNote(f"not signed by {key.name}")
    if not all(verify(key.public_key, text.encode(), each.signature) for each in ours):
        raise MalformedNote(f"the signature of {key.name} does not verify")
    return text


def open_checkpoint(note: str, key: VerifierKey, verify: Verify) -> Checkpoint:
    """The checkpoint that `key` has signed under its own name as origin.

    Raises:
        MalformedNote: as `open_note` and `parse_checkpoint`, or another log's checkpoint.
    """
    checkpoint = parse_checkpoint(open_note(note, key, verify))
    if checkpoint.origin != key.name:
        raise MalformedNote(f"it is the checkpoint of {checkpoint.origin}, not of {key.name}")
    return checkpoint


def _signature(line: str) -> Signature:
    dash, _, rest = line.partition(" ")
    name, _, encoded = rest.partition(" ")
    if dash != "—" or not is_key_name(name):
        raise MalformedNote("a signature line is '— <key name> <base64>'")
    raw = _from_base64(encoded)
    if len(raw) <= _KEY_ID_BYTES:
        raise MalformedNote("a signature line without a signature")
    return Signature(name, raw[:_KEY_ID_BYTES], raw[_KEY_ID_BYTES:])


def _to_base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _from_base64(encoded: str) -> bytes:
    """Strict: one spelling for each value."""
    try:
        raw = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise MalformedNote("not base64") from None
    if _to_base64(raw) != encoded:
        raise MalformedNote("not the one base64 spelling")
    return raw
