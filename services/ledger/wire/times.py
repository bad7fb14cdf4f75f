"""Times between microseconds since 1970 and protobuf."""

from datetime import UTC, datetime

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from kernel.faults import Invalid
from services.ledger.domain.entry import microseconds


def to_wire(at_us: int | None) -> Timestamp | None:
    if at_us is None:
        return None
    seconds, micros = divmod(at_us, 1_000_000)
    return Timestamp(seconds=seconds, nanos=micros * 1000)


def from_wire(message: Message, field: str) -> int | None:
    """The time in `field`, None if it is unset.

    Raises:
        Invalid: a time that no calendar has.
    """
    if not message.HasField(field):
        return None
    try:
        at: datetime = getattr(message, field).ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise Invalid("FIELD_INVALID", f"{field} is no time of years 1 to 9999", field=field) from None
    return microseconds(at)
