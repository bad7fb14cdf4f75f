"""An entry: one message of the event log as the ledger keeps it, with what can be asked about it read out of it.

Nothing is refused: a message whose subject or headers cannot be read has empty columns and is a leaf all the same.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from urllib.parse import unquote

from services.ledger.domain import leaf

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_CLOUD_EVENT = re.compile(rb"\r\nce-(id|correlationid|causationid|actor|time):([^\r]*)")
# As the chassis writes them, values as they are: one match instead of a search and five readings. Says the same.
_USUAL = re.compile(
    rb"NATS/1\.0\r\nce-specversion: 1\.0\r\nce-id: ([!-$&-~]*)\r\nce-type: [!-~]*\r\nce-source: [!-~]*\r\n"
    rb"ce-time: ([!-$&-~]*)\r\nce-subject: [!-~]*\r\nce-datacontenttype: [!-~]*\r\nce-aggver: [!-~]*\r\n"
    rb"ce-actor: ([!-$&-~]*)\r\nNats-Msg-Id: [!-~]*\r\n(?:ce-prevseq: [!-~]*\r\n)?"
    rb"(?:ce-correlationid: ([!-$&-~]*)\r\n)?(?:ce-causationid: ([!-$&-~]*)\r\n)?"
)


class Message(NamedTuple):
    """One message as published, and the sequence the log gave it; `header` is its whole header block."""

    sequence: int
    subject: str
    header: bytes
    payload: bytes


class Row(NamedTuple):
    """One message as it is stored. Everything else about it is read out of it: see `read_row`."""

    sequence: int
    leaf_hash: bytes
    subject: str
    header: bytes
    payload: bytes


class Entry(NamedTuple):
    """One message with what can be read out of it. `at_us` is `ce-time` in microseconds since 1970, if it has one."""

    sequence: int
    leaf_hash: bytes
    tenant: str
    context: str
    aggregate: str
    aggregate_id: str
    event_type: str
    event_id: str
    correlation_id: str
    causation_id: str
    actor: str
    at_us: int | None
    subject: str
    header: bytes
    payload: bytes

    @property
    def at(self) -> datetime | None:
        return None if self.at_us is None else time_of(self.at_us)

    @property
    def headers(self) -> dict[str, str]:
        """Headers by name as published, the last of each name; empty when they cannot be read."""
        return headers_of(leaf.header_lines(self.header) or [])


def entry_of(message: Message) -> Entry:
    """The entry and the leaf of a message."""
    return read_row(row_of(message))


def row_of(message: Message) -> Row:
    """What is stored of a message, its leaf hash computed."""
    sequence, subject, block, payload = message
    try:
        raw_subject = subject.encode()
    except UnicodeEncodeError:  # lone surrogates: no database keeps them as text
        raw_subject = subject.encode("utf-8", "backslashreplace")
        subject = raw_subject.decode()
    data = leaf.leaf_data(raw_subject, block, leaf.header_lines(block), payload)
    return Row(sequence, leaf.leaf_hash(data), subject, block, payload)


def read_row(row: Row) -> Entry:
    """The entry of a stored message; its leaf hash is taken as it is."""
    sequence, leaf_hash, subject, block, payload = row
    usual = _USUAL.match(block)
    if usual is not None and block.endswith(b"\r\n\r\n") and block.find(b"\r\nce-", usual.end() - 2) < 0:
        event_id, time, actor, correlation_id, causation_id = str(
            b"\n".join(usual.groups(b"")), "ascii"
        ).split("\n")
    else:
        event_id, time, actor, correlation_id, causation_id = _attributes(block)
    tokens = subject.split(".")
    if len(tokens) == 6 and tokens[0] == "evt":
        _, tenant, context, aggregate, aggregate_id, event_type = tokens
    else:
        tenant = context = aggregate = aggregate_id = event_type = ""
    return Entry(
        sequence,
        leaf_hash,
        tenant,
        context,
        aggregate,
        aggregate_id,
        event_type,
        event_id,
        correlation_id,
        causation_id,
        actor,
        _microseconds(time),
        subject,
        block,
        payload,
    )


def _attributes(block: bytes) -> list[str]:
    """Id, time, actor, correlation and causation out of a header block, each the last of its name."""
    found = dict(_CLOUD_EVENT.findall(block)) if leaf.is_readable(block) else {}
    names = (b"id", b"time", b"actor", b"correlationid", b"causationid")
    return [_decoded(found.get(name, b"").decode("utf-8", "replace")) for name in names]


def headers_of(lines: Sequence[bytes]) -> dict[str, str]:
    """Headers by name, the last of each; CloudEvents attributes percent-decoded, as their binding to NATS says."""
    headers = {}
    for line in lines:
        name, _, value = line.decode("utf-8", "replace").partition(":")
        headers[name] = _decoded(value) if name.startswith("ce-") else value.strip()
    return headers


def microseconds(at: datetime) -> int:
    """Microseconds since 1970."""
    return (at - _EPOCH) // _MICROSECOND


def time_of(at_us: int) -> datetime:
    """The time `at_us` microseconds after 1970 began."""
    return _EPOCH + timedelta(microseconds=at_us)


def _microseconds(text: str) -> int | None:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return None if at.tzinfo is None else microseconds(at)


def _decoded(value: str) -> str:
    value = value.strip()
    return unquote(value) if "%" in value else value
