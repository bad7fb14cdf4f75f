"""Event headers: CloudEvents 1.0 binary binding for NATS, and what the server needs to guard an append.

Values are percent-encoded as the binding says (HTTP binding, section 3.1.3.2), so that no value can end a
header or begin another. Read lazily: most readers of most events look at one header or at none.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from types import EllipsisType
from typing import Any
from urllib.parse import quote, unquote

from chassis import tracing
from kernel.events import Cause, Head, Recorded, Stream

_PLAIN = re.compile(r"[!#$&-~]*")
_SAFE = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')
_FIRST_LINE = b"NATS/1.0"
_END = b"\r\n"
_OF_EVENTS = "ce-"
# As `event_lines` has them: the last three may be missing, and behind them is what is for the server or for tracing.
# Most of what is read is so, and all of it is there once. One match at a tenth of the cost of looking at the names.
_ALWAYS = (
    "ce-specversion", "ce-id", "ce-type", "ce-source", "ce-time", "ce-subject", "ce-datacontenttype", "ce-aggver",
    "ce-actor", "Nats-Msg-Id",
)  # fmt: skip
_SOMETIMES = ("ce-prevseq", "ce-correlationid", "ce-causationid")
_GROUPS = {name: n for n, name in enumerate((*_ALWAYS, *_SOMETIMES), 1)}
_USUAL = re.compile(
    (
        r"NATS/1\.0\r\n"
        + "".join(rf"{name}: ([^\r]*)\r\n" for name in _ALWAYS)
        + "".join(rf"(?:{name}: ([^\r]*)\r\n)?" for name in _SOMETIMES)
        + r"(?:(?!ce-)[!-~]+ [ -~]*\r\n)*\r\n"
    ).encode()
).fullmatch
REPUBLISHED = b"\r\nNats-Stream: "
"""In the headers of what the server took from another stream."""


class Headers(Mapping[str, str]):
    """The headers of one event, over their bytes as published (`raw`).

    Looked up in the bytes where they are as we write them, else parsed. Of two with the same name the first counts; of
    those of an event none does, when one of them is there twice or the block is not as NATS has it. The ledger, which
    shows a leaf that holds no order, sees none of them either: what nobody can be held to takes effect nowhere.
    """

    __slots__ = ("_parsed", "_usual", "raw")

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self._parsed: dict[str, str] | None = None
        self._usual: re.Match[bytes] | EllipsisType | None = ...

    def _match(self) -> re.Match[bytes] | None:
        if self._usual is ...:
            self._usual = _USUAL(self.raw)
        return self._usual

    def _all(self) -> dict[str, str]:
        if self._parsed is None:
            parsed = _parse(self.raw)
            if self._match() is None and not _plain(self.raw):
                parsed = {name: value for name, value in parsed.items() if not name.startswith(_OF_EVENTS)}
            self._parsed = parsed
        return self._parsed

    def get(self, name: str, default: Any = None) -> Any:
        group = _GROUPS.get(name)
        if group is None or (usual := self._match()) is None:
            return self._all().get(name, default)
        value = usual[group]
        return default if value is None else _value(name, value.decode("utf-8", "replace"))

    def __getitem__(self, name: str) -> str:
        value: str | None = self.get(name)
        if value is None:
            raise KeyError(name)
        return value

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.get(name) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def __repr__(self) -> str:
        return f"Headers({self._all()!r})"


def raw_headers(recorded: Recorded) -> bytes:
    """The header block of an event exactly as it was published; empty when it had none."""
    headers = recorded.headers
    if not isinstance(headers, Headers):
        raise TypeError("only an event read from a log has raw headers")
    return headers.raw


def believed(recorded: Recorded) -> Recorded:
    """The event, or a message without a word of what it says when the server took it from another stream.

    Who may make or change a stream can have it republished on subjects that he may not publish on. The server marks all
    that it republishes (NATS ADR-28).
    """
    headers = recorded.headers
    marked = REPUBLISHED in headers.raw if isinstance(headers, Headers) else "Nats-Stream" in headers
    return Recorded(recorded.sequence, recorded.subject, Headers(b""), b"") if marked else recorded


def is_event(recorded: Recorded) -> bool:
    """Whether it has a header of an event, readable or not: what has none is no event, whatever its subject says.

    One that has such a header twice has none of them, see `Headers`.
    """
    headers = recorded.headers
    return "ce-type" in headers or any(name.startswith(_OF_EVENTS) for name in headers)


def repeats(recorded: Recorded, newest: int) -> bool:
    """Whether it is a copy: it follows an older event than the one at `newest`, the last of its aggregate before it.

    Whoever appends names the event before its own (`ce-prevseq`), and the server refuses it unless that is the newest.
    What names an older one was never appended where it stands: it is an event from before, published again past the
    guard when the server had forgotten its id. One that names none is not judged here.
    """
    follows = recorded.headers.get("ce-prevseq", "")
    return len(follows) < 20 and follows.isascii() and follows.isdecimal() and int(follows) < newest


def _plain(raw: bytes) -> bool:
    """Whether it is a header block, and no header of an event is there twice: as the ledger's `headers_of` has it."""
    if raw and not (raw.startswith(b"NATS/1.0\r\n") and raw.endswith(b"\r\n\r\n")):
        return False
    names: set[str] = set()
    for line in raw.split(_END):
        if b"ce-" in line:
            name = line.partition(b":")[0].decode("utf-8", "replace").strip()
            if name in names:
                return False
            if name.startswith(_OF_EVENTS):
                names.add(name)
    return True


def _parse(raw: bytes) -> dict[str, str]:
    parsed: dict[str, str] = {}
    for line in raw.decode("utf-8", "replace").split("\r\n")[1:]:
        name, colon, value = line.partition(":")
        name = name.strip()
        if colon and name not in parsed:
            parsed[name] = _value(name, value)
    return parsed


def _value(name: str, text: str) -> str:
    text = text.strip()
    return unquote(text) if "%" in text and name.startswith("ce-") else text


def inert(value: str) -> str:
    """`value` as it may stand in a header: percent-encoded unless it is plain."""
    return value if _PLAIN.fullmatch(value) else quote(value, safe=_SAFE, errors="replace")


def rfc3339(at: datetime) -> str:
    """UTC with microseconds, as `2026-03-01T12:30:15.123456Z`."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")[:-6] + "Z"


def event_lines(
    stream: Stream, proto_name: str, event_id: str, n: int, *, after: Head, cause: Cause, source: str
) -> str:
    """The header lines of the n-th event of an append, each ended by CRLF.

    `ce-prevseq` is the sequence of the aggregate's previous event; later events of one append follow the one
    before them directly and do not carry it.
    """
    lines = (
        f"ce-specversion: 1.0\r\nce-id: {event_id}\r\nce-type: {proto_name}\r\nce-source: {inert(source)}\r\n"
        f"ce-time: {rfc3339(cause.at)}\r\nce-subject: {stream.aggregate}/{stream.id}\r\n"
        f"ce-datacontenttype: application/protobuf\r\nce-aggver: {after.version + n + 1}\r\n"
        f"ce-actor: {inert(cause.actor)}\r\nNats-Msg-Id: {event_id}\r\n"
    )
    if n == 0:
        lines += f"ce-prevseq: {after.sequence}\r\n"
    if cause.correlation_id:
        lines += f"ce-correlationid: {inert(cause.correlation_id)}\r\n"
    if cause.causation_id:
        lines += f"ce-causationid: {inert(cause.causation_id)}\r\n"
    traceparent = tracing.current_traceparent() or cause.traceparent
    if traceparent:
        lines += f"traceparent: {inert(traceparent)}\r\n"
    return lines


def expectation_lines(stream: Stream, after: Head) -> str:
    """What makes the server refuse an append when the aggregate's last event is not `after`."""
    return (
        f"Nats-Expected-Last-Subject-Sequence: {after.sequence}\r\n"
        f"Nats-Expected-Last-Subject-Sequence-Subject: {stream.filter}\r\n"
    )


def block(lines: str) -> bytes:
    """A whole NATS header block."""
    return b"%b\r\n%b\r\n" % (_FIRST_LINE, lines.encode())
