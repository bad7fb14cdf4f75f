"""Texts, times and their bounds, between policy's domain and its protos."""

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from kernel.faults import Invalid

MAX_TEXT = 4096
MAX_ID = 128
MAX_POLICY_VERSION = 64
"""As the reader of sets has it."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def bounded(value: str, field: str, most: int, *, least: int = 1) -> str:
    """`value`, if it has `least` to `most` characters.

    Raises:
        Invalid: naming `field`.
    """
    if not least <= len(value) <= most:
        reason = "FIELD_INVALID" if value else "FIELD_MISSING"
        raise Invalid(reason, f"{field} must have {least} to {most} characters", field=field)
    return value


def stamp(at: datetime) -> Timestamp:
    since = at - _EPOCH
    return Timestamp(seconds=since.days * 86_400 + since.seconds, nanos=since.microseconds * 1000)
