"""A line of an export, read and held to what its leaf commits to.

All of a line but `decoded` follows from subject, headers and payload, and has one spelling: whatever reads the line reads
what is proved. That `decoded` says what the payload says, the log's signature vouches for.
"""

import json
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, NamedTuple
from urllib.parse import unquote

from provost_sdk.note import NotProved, from_base64
from provost_sdk.proofs import hash_leaf, leaf_of

COLUMNS = (
    "sequence", "leaf_index", "leaf_hash", "subject", "id", "type", "time", "headers", "header_block", "payload", "decoded",
)  # fmt: skip
MAX_LINE_BYTES = 64 * 1024 * 1024
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_spelled = json.JSONEncoder(separators=(",", ":")).encode


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
    for name, wanted in (("sequence", sequence), ("leaf_index", leaf_index)):
        if given[name] != wanted:
            raise NotProved(f"{name} {wanted} was to come, there is {str(given[name])[:40]}")
    subject, headers, encoded = given["subject"], given["headers"], given["header_block"]
    try:
        payload = from_base64(given["payload"], "the payload")
        whole = None if encoded is None else from_base64(encoded, "header_block")
        block = _block(headers) if whole is None else whole
        leaf = leaf_of(subject.encode(), block, sha256(payload).digest())
    except (TypeError, ValueError, AttributeError):
        raise NotProved("subject, headers or payload are not what they must be") from None
    leaf_hash = hash_leaf(leaf)
    if given["leaf_hash"] != leaf_hash.hex():
        raise NotProved("leaf_hash is not that of its subject, headers and payload")
    if whole is not None and (headers != {} or by_name(whole) is not None):
        raise NotProved("header_block is there for headers that could be told apart by name")
    id_, type_, time = (_plain(headers.get(f"ce-{name}")) for name in ("id", "type", "time"))
    block_text = "null" if whole is None else f'"{encoded}"'
    spelled = (
        f'{{"sequence":{sequence},"leaf_index":{leaf_index},"leaf_hash":"{leaf_hash.hex()}",'
        f'"subject":{_spelled(subject)},"id":{_spelled(id_)},"type":{_spelled(type_)},"time":{_spelled(time)},'
        f'"headers":{_spelled(headers)},"header_block":{block_text},"payload":"{given["payload"]}","decoded":'
    ).encode()
    if not line.startswith(spelled):
        name = next(
            (each for each, value in (("id", id_), ("type", type_), ("time", time)) if given[each] != value),
            "",
        )
        raise NotProved(f"{name} is not that of its headers" if name else "it is not in its one spelling")
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
        given = json.loads(line)
    except (ValueError, RecursionError):
        raise NotProved("it is not JSON") from None
    if not isinstance(given, dict) or tuple(given) != COLUMNS:
        raise NotProved(f"it is not an object of {', '.join(COLUMNS)}, in this order")
    return given


def _block(headers: dict[str, str]) -> bytes:
    return (
        "NATS/1.0\r\n" + "".join([name + ": " + value + "\r\n" for name, value in headers.items()]) + "\r\n"
    ).encode()


def _plain(value: str | None) -> str | None:
    return value if value is None or "%" not in value else unquote(value)
