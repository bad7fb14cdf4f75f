"""How far an agent is trusted. A higher tier includes what the lower ones may."""

from enum import StrEnum


class Tier(StrEnum):
    T0_OBSERVER = "T0_OBSERVER"
    T1_OPERATOR = "T1_OPERATOR"
    T2_BUILDER = "T2_BUILDER"
    T3_EXECUTOR = "T3_EXECUTOR"
    T4_ARCHITECT = "T4_ARCHITECT"


def up_to(tier: Tier) -> tuple[Tier, ...]:
    """The tiers whose capabilities `tier` has, lowest first, itself last."""
    tiers = tuple(Tier)
    return tiers[: tiers.index(tier) + 1]


def step(tier: Tier, steps: int) -> Tier | None:
    """The tier so many above `tier`, or below it; None when there is none."""
    tiers = tuple(Tier)
    at = tiers.index(tier) + steps
    return tiers[at] if 0 <= at < len(tiers) else None
