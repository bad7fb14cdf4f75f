"""An event as a row of an export: the same columns in JSON Lines and in Parquet, one spelling for each event."""

import json
from base64 import b64encode
from typing import NamedTuple
from urllib.parse import unquote

from services.ledger.domain.leaf import header_lines
from services.ledger.wire.payloads import payload_json

_text = json.JSONEncoder(separators=(",", ":")).encode  # ASCII alone: nothing in it can act on a terminal
_sorted_text = json.JSONEncoder(separators=(",", ":"), sort_keys=True).encode


class Row(NamedTuple):
    """One event. `headers` are as published; where names do not tell them apart they are empty, and `header_block` is
    the whole block. `decoded` is JSON, None where the type is not known, the payload not readable or too large."""

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


def row_of(
    sequence: int, leaf_index: int, leaf_hash: bytes, subject: str, block: bytes, payload: bytes
) -> Row:
    """The row of a message."""
    headers = named(block)
    shown = headers or {}
    type_ = _plain(shown.get("ce-type"))
    return Row(
        sequence,
        leaf_index,
        leaf_hash,
        subject,
        _plain(shown.get("ce-id")),
        type_,
        _plain(shown.get("ce-time")),
        shown,
        block if headers is None else None,
        payload,
        _decoded(type_, payload),
    )


def line_of(row: Row) -> bytes:
    """The row as a line of JSON, its newline included."""
    block = "null" if row.header_block is None else f'"{b64encode(row.header_block).decode()}"'
    return (
        f'{{"sequence":{row.sequence},"leaf_index":{row.leaf_index},"leaf_hash":"{row.leaf_hash.hex()}",'
        f'"subject":{_text(row.subject)},"id":{_text(row.id)},"type":{_text(row.type)},"time":{_text(row.time)},'
        f'"headers":{_text(row.headers)},"header_block":{block},'
        f'"payload":"{b64encode(row.payload).decode()}","decoded":{row.decoded or "null"}}}\n'
    ).encode()


def named(block: bytes) -> dict[str, str] | None:
    """The headers by name, in the order they were published; None unless the very block can be made of them again."""
    lines = header_lines(block)
    if lines is None or not block:
        return None
    found = {}
    try:
        for line in lines:
            name, colon, value = line.decode().partition(": ")
            if not colon or name in found:
                return None
            found[name] = value
    except UnicodeDecodeError:
        return None
    return found


def _plain(value: str | None) -> str | None:
    return value if value is None or "%" not in value else unquote(value)


def _decoded(type_name: str | None, payload: bytes) -> str | None:
    text = payload_json(type_name, payload) if type_name else ""
    return _sorted_text(json.loads(text)) if text else None
