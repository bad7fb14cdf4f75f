"""Events, streams and causes for tests of the log; payloads are protobuf's own wrappers."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from google.protobuf.wrappers_pb2 import Int64Value as Int64Message
from google.protobuf.wrappers_pb2 import StringValue as StringMessage

from chassis.eventlog.codec import Codec
from kernel.events import Cause, Recorded, Stream


@dataclass(frozen=True, slots=True)
class StringValue:
    value: str


@dataclass(frozen=True, slots=True)
class Int64Value:
    value: int


CODEC = Codec({StringValue: StringMessage, Int64Value: Int64Message})
SOURCE = "provost/test"
AT = datetime(2026, 3, 1, 12, 0, 0, 250, tzinfo=UTC)
ONE = Stream("acme", "policy", "agent", "one")
TWO = Stream("acme", "policy", "agent", "two")


def cause(request_id: str, actor: str = "key:test") -> Cause:
    return Cause("acme", request_id, actor, AT, correlation_id="run-1", causation_id="cause-1")


def words(events: Sequence[Recorded]) -> list[object]:
    """What the events say."""
    return [CODEC.decode(each).value for each in events]  # type: ignore[attr-defined]
