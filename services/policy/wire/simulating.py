"""Simulations, between policy's domain and its protos."""

from datetime import UTC, datetime
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from chassis.mapping import Mapper
from kernel.faults import Invalid
from provost.policy.v1 import policy_pb2 as pb
from services.policy.domain.flips import Simulated

MAX_FLIPS = 100_000

SIMULATED: Final = Mapper(Simulated, pb.SimulatePolicySetResponse)


def time_from_wire(stamp: Timestamp, field: str) -> datetime:
    """Raises Invalid: it is out of range."""
    try:
        return stamp.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        text = f"{field} is out of range: give a time in the years 1 to 9999"
        raise Invalid("FIELD_INVALID", text, field=field) from None


def max_flips_from_wire(max_flips: int) -> int:
    """0 is 1000. Raises Invalid: negative, or more than 100,000."""
    if not 0 <= max_flips <= MAX_FLIPS:
        text = f"max_flips must be 0 to {MAX_FLIPS}: all flips are counted, however many are told"
        raise Invalid("FIELD_INVALID", text, field="max_flips")
    return max_flips or 1000
