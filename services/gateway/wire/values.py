"""Single values: enum names without their prefix, times."""

from datetime import UTC, datetime
from typing import Any

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp


def name_of(enum: Any, number: int, prefix: str) -> str:
    """The name of `number` without `prefix`; "" for the unspecified, and for one that is newer than this gateway."""
    name = str(enum.Name(number)) if number in enum.values() else ""
    return "" if name.endswith("_UNSPECIFIED") else name.removeprefix(prefix)


def time_of(message: Message, field: str) -> datetime | None:
    """The time in `field`, None when it is unset."""
    if not message.HasField(field):
        return None
    stamp: Timestamp = getattr(message, field)
    return stamp.ToDatetime(tzinfo=UTC)


def stamp_of(at: datetime | None) -> Timestamp | None:
    if at is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(at)
    return stamp
