"""Tiers, between policy's domain and its protos."""

from typing import Final

from kernel.faults import Invalid
from provost.policy.v1 import policy_pb2
from services.policy.domain.tier import Tier

TIERS: Final = {tier: policy_pb2.Tier.Value(f"TIER_{tier}") for tier in Tier}
_TIER_OF: Final = {number: tier for tier, number in TIERS.items()}


def tier_from_wire(tier: policy_pb2.Tier.ValueType) -> Tier:
    """Raises Invalid, reason `UNKNOWN_TIER`."""
    known = _TIER_OF.get(tier)
    if known is None:
        raise Invalid("UNKNOWN_TIER", f"tier must be one of {', '.join(Tier)}", field="tier")
    return known
