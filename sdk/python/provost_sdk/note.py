"""Signed notes and checkpoints, read and verified with a public key alone: C2SP signed-note, tlog-checkpoint, Ed25519.

Written from the specifications and not from the ledger's own code, which it is there to check. Needs no service.
"""

import base64
import binascii
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

MAX_NOTE_CHARACTERS = 1_000_000
MAX_SIGNATURES = 100
MAX_TREE_SIZE = 2**63 - 1
_ED25519 = b"\x01"
_DIGITS = frozenset("0123456789")


class NotProved(Exception):
    """What was given proves nothing; the text says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Key:
    """Whose signature is asked for: the name and public key of a log, and the id that its signatures bear.

    A key that was retired signs no tree larger than `last_size`.
    """

    name: str
    key_id: bytes
    public: bytes
    last_size: int | None = None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A tree head that its log has signed, with `signers` of the keys that were asked for."""

    origin: str
    size: int
    root: bytes
    signers: tuple[Key, ...] = field(default=(), compare=False)


def read_key(text: str) -> Key:
    """The key in a verifier key, `<name>+<8 hex digits>+<base64>`.

    Raises:
        NotProved: it is none, not of Ed25519, or its id belongs to another name or key.
    """
    name, shown_id, material = key_parts(text)
    if material[:1] != _ED25519 or len(material) != 33:
        raise NotProved("not a verifier key of Ed25519")
    return key_with(name, shown_id, material)


def key_parts(text: str) -> tuple[str, str, bytes]:
    """Name, id and key of a verifier key, its signature type in front. Raises NotProved: it is none."""
    parts = text.strip().split("+", 2)
    if len(parts) != 3 or not is_name(parts[0]):
        raise NotProved("not a verifier key: it is written <name>+<8 hex digits>+<base64>")
    name, shown_id, encoded = parts
    return name, shown_id, from_base64(encoded, "the verifier key")


def key_with(name: str, shown_id: str, material: bytes) -> Key:
    """The key of these parts. Raises NotProved: its id belongs to another name or key."""
    key_id = hashlib.sha256(name.encode() + b"\n" + material).digest()[:4]
    if shown_id != key_id.hex():
        raise NotProved("the verifier key is damaged: its id belongs to another name or key")
    return Key(name, key_id, material[1:])


def open_note(note: str, keys: Key | Sequence[Key]) -> str:
    """The text that one of `keys` at least has signed, its last newline included. Signatures by others are passed over.

    Raises:
        NotProved: it is no note, none of `keys` has signed it, or a signature in the name of one does not verify.
    """
    return _opened(note, keys)[0]


def signed_by(note: str, keys: Key | Sequence[Key]) -> tuple[Key, ...]:
    """Which of `keys` have signed. Raises NotProved as `open_note`."""
    return _opened(note, keys)[1]


def open_checkpoint(note: str, keys: Key | Sequence[Key]) -> Checkpoint:
    """The tree head in a checkpoint that one of `keys` has signed for the log it is named after.

    Raises:
        NotProved: as `open_note`; or what is signed is no checkpoint, or that of another log, or by a key that was
            retired before.
    """
    text, signers = _opened(note, keys)
    lines = text[:-1].split("\n")
    if len(lines) < 3 or "" in lines:
        raise NotProved("what is signed is no checkpoint: three lines at least, none of them empty")
    origin, size, root = lines[:3]
    ours = [each for each in signers if each.name == origin]
    if not ours:
        raise NotProved(f"it is the checkpoint of {origin}, not of {signers[0].name}")
    tree_size = read_number(size, "the tree size")
    still = tuple(each for each in ours if each.last_size is None or tree_size <= each.last_size)
    if not still:
        raise NotProved(
            f"the key {ours[0].key_id.hex()} was retired at {ours[0].last_size} leaves and signs no head over {size}"
        )
    return Checkpoint(origin, tree_size, read_hash(root, "the root"), still)


def read_number(text: str, what: str) -> int:
    """A decimal number in its one spelling, at most 2^63 - 1. Raises NotProved, naming `what`."""
    if not text or not _DIGITS.issuperset(text) or (text[0] == "0" and text != "0") or len(text) > 19:
        raise NotProved(f"{what} is no plain decimal number")
    number = int(text)
    if number > MAX_TREE_SIZE:
        raise NotProved(f"{what} is too large")
    return number


def read_hash(text: str, what: str) -> bytes:
    """A SHA-256 hash in base64. Raises NotProved, naming `what`."""
    raw = from_base64(text, what)
    if len(raw) != 32:
        raise NotProved(f"{what} is not 32 bytes")
    return raw


def from_base64(text: str, what: str) -> bytes:
    """Bytes in their one spelling (RFC 4648, section 4). Raises NotProved, naming `what`."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise NotProved(f"{what} is not base64") from None
    if base64.b64encode(raw).decode() != text:
        raise NotProved(f"{what} is not in the one spelling of base64")
    return raw


def is_name(name: str) -> bool:
    """Whether `name` may name a key."""
    return name != "" and not any(each.isspace() or each == "+" or each < " " for each in name)


def read_signature(line: str) -> tuple[str, bytes]:
    """Name and raw signature, key id first, in a signature line of a note. Raises NotProved: it is none."""
    parts = line.split(" ")
    if len(parts) != 3 or parts[0] != "\u2014" or not is_name(parts[1]):
        raise NotProved("a signature line of the note is not an em dash, a name and base64")
    raw = from_base64(parts[2], "a signature")
    if len(raw) < 5:
        raise NotProved("a signature line of the note holds no signature")
    return parts[1], raw


def verifies(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether `signature` is that of `message` by the Ed25519 key `public`."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _opened(note: str, keys: Key | Sequence[Key]) -> tuple[str, tuple[Key, ...]]:
    wanted = (keys,) if isinstance(keys, Key) else keys
    if len(note) > MAX_NOTE_CHARACTERS:
        raise NotProved("the note is too long")
    if any(each < " " and each != "\n" for each in note):
        raise NotProved("the note holds control characters")
    at = note.rfind("\n\n")
    if at < 0 or not note.endswith("\n") or len(note) == at + 2:
        raise NotProved("not a signed note: no signatures behind an empty line")
    text, lines = note[: at + 1], note[at + 2 : -1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise NotProved("the note bears too many signatures")
    signatures = [read_signature(line) for line in lines]
    ours = [
        (key, raw[4:])
        for key in wanted
        for name, raw in signatures
        if (name, raw[:4]) == (key.name, key.key_id)
    ]
    if not ours:
        signers = ", ".join(sorted({name for name, _ in signatures}))
        asked = ", ".join(f"{key.name}+{key.key_id.hex()}" for key in wanted)
        raise NotProved(f"not signed with the key {asked}; it names {signers}")
    for key, signature in ours:
        if not verifies(key.public, text.encode(), signature):
            raise NotProved(f"the signature in the name of {key.name} does not verify")
    return text, tuple(dict.fromkeys(key for key, _ in ours))
