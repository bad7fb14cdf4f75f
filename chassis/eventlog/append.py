"""What both logs do before they write: turn domain events into messages, and refuse what must not be sent."""

from collections.abc import Sequence
from dataclasses import dataclass

from chassis.eventlog.codec import Codec
from chassis.eventlog.headers import event_lines, expectation_lines
from chassis.eventlog.subjects import event_subject
from kernel.events import Appended, Cause, Head, Stream
from kernel.faults import AppendConflict, Exhausted

SERVER_LINES_BYTES = 200
"""What the headers of a batch may still add to a message."""


@dataclass(frozen=True, slots=True)
class Message:
    """One event, ready to be sent: `lines` are its header lines."""

    event_id: str
    subject: str
    lines: str
    payload: bytes


def messages(
    codec: Codec,
    source: str,
    stream: Stream,
    events: Sequence[object],
    *,
    after: Head,
    cause: Cause,
    max_payload_bytes: int,
) -> list[Message]:
    """The messages of one append, the first guarded: `after` must be the aggregate's last event.

    Raises:
        Invalid: no such subject, or a value that does not fit its field.
        Exhausted: an event is larger than the log takes (reason `MESSAGE_TOO_LARGE`).
    """
    if not events:
        raise ValueError("an append needs at least one event")
    made = []
    for n, event in enumerate(events):
        short, full, payload = codec.encode(event)
        event_id = stream.event_id(cause.request_id, n)
        lines = event_lines(stream, full, event_id, n, after=after, cause=cause, source=source)
        if n == 0:
            lines += expectation_lines(stream, after)
        if len(lines) + len(payload) + SERVER_LINES_BYTES > max_payload_bytes:
            raise Exhausted(
                "MESSAGE_TOO_LARGE",
                f"{short} takes {len(payload)} bytes; the event log takes {max_payload_bytes} at most",
                max_bytes=str(max_payload_bytes),
            )
        made.append(Message(event_id, event_subject(stream, short), lines, payload))
    return made


def written_before(made: Sequence[Message], last_sequence: int) -> Appended:
    """The answer when an earlier try had written these."""
    return Appended(last_sequence, tuple(each.event_id for each in made), duplicate=True)


def conflict(stream: Stream, after: Head, actual: int | None) -> AppendConflict:
    """The refusal; its facts name the aggregate's `actual_sequence` when that is known."""
    fault = AppendConflict(stream.filter, after.sequence)
    if actual is not None:
        fault.facts["actual_sequence"] = str(actual)
    return fault
