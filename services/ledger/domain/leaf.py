"""The leaf: what of a message the tree commits to, byte for byte.

A leaf holds the subject, every header line as published and the SHA-256 of the payload, and nothing the server added
(no sequence, no timestamp), so that a stream repaired from its own messages gives the same tree. The order of headers
says nothing, so their lines are sorted as bytes:

    provost leaf v1 CRLF  subject CRLF  { header-line CRLF }  CRLF  SHA-256(payload)

A header block that is not `NATS/1.0 CRLF { header-line CRLF } CRLF`, or a leaf that would grow past 65,535 bytes (the
most an entry bundle of C2SP tlog-tiles can carry), is committed to by its hash:

    provost leaf v1 opaque CRLF  subject CRLF  SHA-256(header block)  SHA-256(payload)

Subject and header lines hold no CRLF and a hash is 32 bytes, so messages share a leaf only if subject, header lines and
payload are the same.
"""

from collections.abc import Sequence
from hashlib import sha256

MAX_LEAF_BYTES = 65_535
_READABLE = b"provost leaf v1"
_READABLE_TEXT = _READABLE.decode()
_OPAQUE = b"provost leaf v1 opaque"
_FIRST_LINE = b"NATS/1.0"
_CRLF = b"\r\n"


def header_lines(block: bytes) -> list[bytes] | None:
    """The lines of a NATS header block in the order they came; None when it is not one.

    No block at all is a message without headers. A line may still be nonsense: it is a line.
    """
    if not block:
        return []
    lines = block.split(_CRLF)
    if len(lines) < 3 or lines[0] != _FIRST_LINE or lines[-1] or lines[-2]:
        return None
    return lines[1:-2]


def leaf_data(subject: bytes, block: bytes, lines: Sequence[bytes] | None, payload: bytes) -> bytes:
    """The bytes of the leaf. `lines` are `header_lines(block)`, which the caller needs as well."""
    payload_hash = sha256(payload).digest()
    if lines is not None:
        data = _CRLF.join((_READABLE, subject, *sorted(lines), b"", payload_hash))
        if len(data) <= MAX_LEAF_BYTES:
            return data
    return _CRLF.join((_OPAQUE, subject, sha256(block).digest() + payload_hash))


def leaf_hash(data: bytes) -> bytes:
    """MTH of the one-entry list {data}: RFC 6962, section 2.1."""
    return sha256(b"\x00" + data).digest()


def leaf_hash_of(subject: str, lines: str, payload: bytes) -> bytes:
    """The hash of a readable leaf of ASCII that is surely short enough; `lines` are sorted, each with its CRLF."""
    text = f"\x00{_READABLE_TEXT}\r\n{subject}\r\n{lines}\r\n"
    return sha256(text.encode() + sha256(payload).digest()).digest()
