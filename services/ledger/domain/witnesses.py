"""Witnesses of the log as the ledger sees them: their keys, what they sign (C2SP tlog-cosignature), what they answer
(C2SP tlog-witness), and how it stands with each.
"""

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from urllib.parse import urlsplit

from kernel.faults import Refused
from services.ledger.domain.checkpoint import (
    PUBLIC_KEY_BYTES,
    MalformedNote,
    Signature,
    Verify,
    is_key_name,
    parse_note,
)

COSIGNATURE_V1 = b"\x04"
_TIME_BYTES = 8
_SIGNATURE_BYTES = 64
_ID_BYTES = 4


@dataclass(frozen=True, slots=True)
class WitnessKey:
    """A witness's name and Ed25519 public key; as text, a vkey of signature type 0x04."""

    name: str
    public_key: bytes

    @property
    def id(self) -> bytes:
        return sha256(self.name.encode() + b"\n" + COSIGNATURE_V1 + self.public_key).digest()[:_ID_BYTES]

    @property
    def text(self) -> str:
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(COSIGNATURE_V1 + self.public_key).decode()}"


@dataclass(frozen=True, slots=True)
class Cosigned:
    """It has signed: signature lines, of which only those that verify count."""

    lines: str


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """The head it signed last has another size than the proof began at, or the same size and another root."""

    size: int


@dataclass(frozen=True, slots=True)
class Inconsistent:
    """The proof does not show that the head grew out of the one it signed last."""


Answer = Cosigned | Elsewhere | Inconsistent


class WitnessRefused(Refused):
    """A witness has seen another history of this log than the one that is told here."""

    def __init__(self, witness: str, why: str, size: int) -> None:
        super().__init__(
            "WITNESS_REFUSED", f"{witness} does not sign: {why}", witness=witness, size=str(size)
        )


@dataclass(frozen=True, slots=True)
class Standing:
    """How it stands with one witness.

    `size` is that of the head it signed last, as far as is known. `refused` says why it will not sign: it has seen
    another history. `trouble` says what else is wrong: that it does not answer, mostly.
    """

    name: str
    size: int = 0
    at_seconds: int = 0
    refused: str = ""
    trouble: str = ""


def parse_witness_key(text: str) -> WitnessKey:
    """Raises MalformedNote unless `text` is the vkey of an Ed25519 witness, whose id fits its name and key."""
    name, _, rest = text.strip().partition("+")
    _, _, encoded = rest.partition("+")
    try:
        material = base64.b64decode(encoded, validate=True)
    except ValueError:
        raise MalformedNote("a witness's key is <name>+<8 hex digits>+<base64>") from None
    if not is_key_name(name) or material[:1] != COSIGNATURE_V1 or len(material) != 1 + PUBLIC_KEY_BYTES:
        raise MalformedNote("not the verifier key of an Ed25519 witness (cosignature/v1)")
    key = WitnessKey(name, material[1:])
    if key.text != text.strip():
        raise MalformedNote("the key id does not belong to this name and key")
    return key


def parse_witnesses(setting: str) -> list[tuple[str, str]]:
    """Address and verifier key of each witness in a comma list of `URL VKEY`; `@FILE` stands for the key in a file.

    Raises:
        ValueError: one of them is not of that form; says which, and shows no address: a password may be in it.
    """
    found: list[tuple[str, str]] = []
    for each in filter(None, (part.strip() for part in setting.split(","))):
        url, _, vkey = each.partition(" ")
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or not vkey.strip():
            raise ValueError(
                f"entry {len(found) + 1} is not an address and a witness's verifier key, with a space between them"
            )
        if "@" in parts.netloc:
            raise ValueError("a witness's address holds no user and no password: nobody needs one to ask")
        try:
            assert parts.port is None or parts.port >= 0, "read for its ValueError"
            vkey = vkey.strip() if vkey.strip().startswith("@") else parse_witness_key(vkey).text
        except (ValueError, MalformedNote) as problem:
            raise ValueError(f"the witness at {url}: {problem}") from None
        found.append((url, vkey))
    return found


def cosigned_message(text: str, at_seconds: int) -> bytes:
    """What a witness signs of the note `text` at a POSIX time."""
    return f"cosignature/v1\ntime {at_seconds}\n{text}".encode()


def newest_cosignature(note: str, key: WitnessKey, verify: Verify) -> tuple[int, str] | None:
    """POSIX time and line of the newest signature by `key` on a note; None when none verifies.

    Raises:
        MalformedNote: it is no note.
    """
    text, signatures = parse_note(note)
    found = max(_valid(text, signatures, key, verify), default=None)
    if found is None:
        return None
    raw = base64.b64encode(key.id + found[0].to_bytes(_TIME_BYTES, "big") + found[1]).decode()
    return found[0], f"\u2014 {key.name} {raw}\n"


def _valid(
    text: str, signatures: Iterable[Signature], key: WitnessKey, verify: Verify
) -> Iterable[tuple[int, bytes]]:
    for each in signatures:
        if (each.name, each.key_id) == (key.name, key.id) and len(
            each.signature
        ) == _TIME_BYTES + _SIGNATURE_BYTES:
            at = int.from_bytes(each.signature[:_TIME_BYTES], "big")
            signature = each.signature[_TIME_BYTES:]
            if verify(key.public_key, cosigned_message(text, at), signature):
                yield at, signature
