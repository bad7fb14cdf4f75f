"""An entry: one message of the event log as the ledger keeps it, with what can be asked about it read out of it.

Nothing is refused: a message whose subject or headers cannot be read has empty columns and is a leaf all the same.
"""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import NamedTuple
from urllib.parse import unquote

from services.ledger.domain import leaf

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_SURELY_SHORT = leaf.MAX_LEAF_BYTES // 2
# As the chassis writes them, and behind them what is for the server or for tracing; values as they are. One match
# instead of a search and five readings, which say the same.
_USUAL = re.compile(
    r"NATS/1\.0\r\n(ce-specversion: 1\.0\r\n)(ce-id: [!-$&-~]*\r\n)(ce-type: [!-~]*\r\n)(ce-source: [!-~]*\r\n)"
    r"(ce-time: [!-$&-~]*\r\n)(ce-subject: [!-~]*\r\n)(ce-datacontenttype: [!-~]*\r\n)(ce-aggver: [!-~]*\r\n)"
    r"(ce-actor: [!-$&-~]*\r\n)(Nats-Msg-Id: [!-~]*\r\n)(ce-prevseq: [!-~]*\r\n)?"
    r"(ce-correlationid: [!-$&-~]*\r\n)?(ce-causationid: [!-$&-~]*\r\n)?((?:(?!ce-)[!-~]+ [ -~]*\r\n)*)\r\n"
).fullmatch


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
        """Headers by name: see `headers_of`; empty when they cannot be read."""
        return headers_of(leaf.header_lines(self.header) or [])


# Their own constructors, written in Python, take three times as long.
_row: Callable[[tuple[object, ...]], Row] = partial(tuple.__new__, Row)
_made: Callable[[tuple[object, ...]], Entry] = partial(tuple.__new__, Entry)


def entry_of(message: Message) -> Entry:
    """The entry and the leaf of a message."""
    return read_row(row_of(message))


def taken(message: Message) -> tuple[Row, Entry]:
    """What `row_of` makes of a message, and `read_row` of that; quicker than one after the other."""
    sequence, subject, block, payload = message
    usual = _USUAL(str(block, "latin-1"))
    if usual is None or len(block) > _SURELY_SHORT or not subject.isascii():
        row = row_of(message)
        return row, read_row(row)
    spec, id_, kind, source, time, about, content, version, actor, copy, before, story, cause, more = (
        usual.groups("")
    )
    # In the order of their bytes.
    lines = [copy, actor, version, cause, story, content, id_, before, source, spec, about, time, kind]
    if more:
        lines += more.splitlines(keepends=True)
        lines.sort()
    row = _row((sequence, leaf.leaf_hash_of(subject, "".join(lines), payload), subject, block, payload))
    return row, _entry(row, (id_[7:-2], time[9:-2], actor[10:-2], story[18:-2], cause[16:-2]))


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
    usual = _USUAL(str(row.header, "latin-1"))
    if usual is None:
        return _entry(row, _attributes(row.header))
    _, id_, _, _, time, _, _, _, actor, _, _, story, cause, _ = usual.groups("")
    return _entry(row, (id_[7:-2], time[9:-2], actor[10:-2], story[18:-2], cause[16:-2]))


def _entry(row: Row, attributes: Sequence[str]) -> Entry:
    sequence, leaf_hash, subject, block, payload = row
    event_id, time, actor, correlation_id, causation_id = attributes
    tokens = subject.split(".")
    if len(tokens) == 6 and tokens[0] == "evt":
        _, tenant, context, aggregate, aggregate_id, event_type = tokens
    else:
        tenant = context = aggregate = aggregate_id = event_type = ""
    return _made(
        (
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
    )


def _attributes(block: bytes) -> list[str]:
    """Id, time, actor, correlation and causation out of a header block."""
    headers = headers_of(leaf.header_lines(block) or [])
    return [headers.get(f"ce-{name}", "") for name in ("id", "time", "actor", "correlationid", "causationid")]


def headers_of(lines: Sequence[bytes]) -> dict[str, str]:
    """Headers by name, the first of each; CloudEvents attributes percent-decoded, as their binding to NATS says.

    None of those when one is there twice: a leaf does not tell which came first, so nobody can be held to it.
    """
    headers: dict[str, str] = {}
    twice = False
    for line in lines:
        name, _, value = line.decode("utf-8", "replace").partition(":")
        name = name.strip()
        if name not in headers:
            headers[name] = _decoded(value) if name.startswith("ce-") else value.strip()
        elif name.startswith("ce-"):
            twice = True
    return {name: value for name, value in headers.items() if not (twice and name.startswith("ce-"))}


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
    if at.tzinfo is None:
        return None
    since = at - _EPOCH
    return (since.days * 86400 + since.seconds) * 1_000_000 + since.microseconds


def _decoded(value: str) -> str:
    value = value.strip()
    return unquote(value) if "%" in value else value
