"""A line of an export, read and held to what its leaf commits to.

All of a line but `decoded` follows from subject, headers and payload, and has one spelling: whatever reads the line
reads what is proved. That `decoded` says what the payload says, the log's signature vouches for.
"""

import json
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, NamedTuple
from urllib.parse import unquote

from provost_sdk.note import NotProved, from_base64
from provost_sdk.proofs import MAX_LEAF_BYTES, hash_leaf, leaf_of

COLUMNS = (
    "sequence", "leaf_index", "leaf_hash", "subject", "id", "type", "time", "headers", "header_block", "payload",
    "decoded",
)  # fmt: skip
MAX_LINE_BYTES = 64 * 1024 * 1024
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CRLF = "\r\n"
_quoted = json.encoder.encode_basestring_ascii
_read = json.JSONDecoder().raw_decode


class Row(NamedTuple):
    """One event that is what its leaf says. `decoded` is JSON."""

    sequence: int
    leaf_index: int
    leaf_hash: bytes
    subject: str
    id: str | None
    type: str | None
    time: str | None
    headers: dict[str, str]
    header_block: bytes | None
    payload: bytes
    decoded: str | None
    leaf: bytes

    @property
    def block(self) -> bytes:
        """The header block as published."""
        return _block(self.headers) if self.header_block is None else self.header_block


def read_row(line: bytes, sequence: int, leaf_index: int) -> Row:
    """The row in a line that ought to have this sequence and leaf.

    Raises:
        NotProved: it is another one, was changed, or is not spelled as it must be.
    """
    given = _object(line)
    sequence_, index_, hash_, subject, id_, type_, time, headers, block_text, payload_text, _ = given.values()
    if sequence_ != sequence or index_ != leaf_index:
        name, wanted = ("sequence", sequence) if sequence_ != sequence else ("leaf_index", leaf_index)
        raise NotProved(f"{name} {wanted} was to come, there is {str(given[name])[:40]}")
    try:
        payload = from_base64(payload_text, "the payload")
        whole = None if block_text is None else from_base64(block_text, "header_block")
        leaf = _leaf(subject, headers, whole, sha256(payload).digest())
        get = headers.get
        plain = _plain(get("ce-id")), _plain(get("ce-type")), _plain(get("ce-time"))
    except (TypeError, ValueError, AttributeError):
        raise NotProved("subject, headers or payload are not what they must be") from None
    leaf_hash = hash_leaf(leaf)
    if hash_ != leaf_hash.hex():
        raise NotProved("leaf_hash is not that of its subject, headers and payload")
    if whole is not None and (headers or by_name(whole) is not None):
        raise NotProved("header_block is there for headers that could be told apart by name")
    if plain != (id_, type_, time):
        raise NotProved("id, type or time is not that of its headers")
    begin = (
        f'{{"sequence":{sequence},"leaf_index":{leaf_index},"leaf_hash":"{hash_}","subject":{_quoted(subject)},'
        f'"id":{_or_null(id_)},"type":{_or_null(type_)},"time":{_or_null(time)},"headers":{{'
    )
    end = f'}},"header_block":{_or_null(block_text)},"payload":"{payload_text}","decoded":'
    # Headers hardly ever need an escape; a line that begins like this all the same says just this.
    plainly = (
        '"' + '","'.join([name + '":"' + value for name, value in headers.items()]) + '"' if headers else ""
    )
    spelled = (begin + plainly + end).encode("ascii", "replace")
    if not line.startswith(spelled):
        quoted = ",".join([_quoted(name) + ":" + _quoted(value) for name, value in headers.items()])
        spelled = (begin + quoted + end).encode()
        if not line.startswith(spelled):
            raise NotProved("it is not in its one spelling")
    decoded = line[len(spelled) : -2].decode()
    return Row(
        sequence, leaf_index, leaf_hash, subject, id_, type_, time, headers, whole, payload,
        None if decoded == "null" else decoded, leaf,
    )  # fmt: skip


def by_name(block: bytes) -> dict[str, str] | None:
    """The headers by name; None unless the very block can be made of them again."""
    if not (block.startswith(b"NATS/1.0\r\n") and block.endswith(b"\r\n\r\n")):
        return None
    try:
        lines = block[len(b"NATS/1.0\r\n") : -2].decode().split("\r\n")[:-1]
    except UnicodeDecodeError:
        return None
    pairs = [line.partition(": ") for line in lines]
    found = {name: value for name, _, value in pairs}
    return found if len(found) == len(pairs) and all(colon for _, colon, _ in pairs) else None


def microseconds(time: str | None) -> int | None:
    """A time in microseconds since 1970; None when it is none, or says no zone."""
    try:
        at = datetime.fromisoformat(time or "")
    except ValueError:
        return None
    if at.tzinfo is None:
        return None
    since = at - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _object(line: bytes) -> dict[str, Any]:
    if not line.endswith(b"}\n"):
        raise NotProved("it is too long, or not a whole line with one object")
    try:
        given, end = _read(line.decode("ascii"))
    except (ValueError, RecursionError):
        raise NotProved("it is not JSON, in ASCII alone") from None
    if not isinstance(given, dict) or tuple(given) != COLUMNS or end != len(line) - 1:
        raise NotProved(f"it is not an object of {', '.join(COLUMNS)}, in this order")
    return given


def _leaf(subject: str, headers: dict[str, str], whole: bytes | None, payload_sha256: bytes) -> bytes:
    """The leaf's bytes. Raises TypeError, ValueError, NotProved: these are no subject and headers."""
    if whole is not None:
        return leaf_of(subject.encode(), whole, payload_sha256)
    lines = [name + ": " + value for name, value in headers.items()]
    text = _CRLF.join((subject, *lines))
    if text.count(_CRLF) != len(lines):
        raise ValueError("one of them is two")
    leaf = _CRLF.join(("provost leaf v1", subject, *sorted(lines), "", "")).encode() + payload_sha256
    # What is too long for a bundle stands there by its hash: proofs.leaf_of knows how.
    return leaf if len(leaf) <= MAX_LEAF_BYTES else leaf_of(subject.encode(), _block(headers), payload_sha256)


def _block(headers: dict[str, str]) -> bytes:
    lines = [name + ": " + value + _CRLF for name, value in headers.items()]
    return ("NATS/1.0" + _CRLF + "".join(lines) + _CRLF).encode()


def _plain(value: str | None) -> str | None:
    return value if value is None or "%" not in value else unquote(value)


def _or_null(text: str | None) -> str:
    return "null" if text is None else _quoted(text)
