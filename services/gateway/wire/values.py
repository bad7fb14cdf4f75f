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
    """`at`, an end of a time that is asked for; the first or last moment there is when it lies beyond in UTC."""
    if at is None:
        return None
    stamp = Timestamp()
    try:
        stamp.FromDatetime(at.astimezone(UTC))
    except OverflowError:  # at an end of the calendar, and its offset leads beyond
        stamp.FromDatetime(
            datetime.min.replace(tzinfo=UTC) if at.year == 1 else datetime.max.replace(tzinfo=UTC)
        )
    return stamp
