"""What more machines would carry, on paper: from what a call costs each service here, with one replica and with more.

A call costs a service that is scaled `shared` (done by one of the replicas) and `each` (done by every replica: all
follow the log). A part of which there is one, or of which one works, is at its end when its calls fill the cores it
can use: one of Python's, those of its machine for a server with threads. Nothing runs hotter than `BUSY`, and a
replica is one core at most.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

BUSY = 0.7


@dataclass(frozen=True, slots=True)
class Cost:
    """Processor seconds of one call."""

    shared: float
    each: float

    def replicas(self, per_second: float) -> int | None:
        """How many carry that many calls; None when no number does."""
        left = BUSY - per_second * self.each
        return max(1, math.ceil(per_second * self.shared / left - 1e-9)) if left > 0 else None


@dataclass(frozen=True, slots=True)
class Single:
    """Of which one works: processor seconds of one call, and how many cores it can use."""

    seconds: float
    cores: int = 1


@dataclass(frozen=True, slots=True)
class Capacity:
    """The most calls a second, with how many replicas, and what stands in the way of more."""

    per_second: float
    replicas: Mapping[str, int]
    limit: str


def cost(seconds: Sequence[tuple[int, float]]) -> Cost:
    """The straight line, by least squares, through (replicas, processor seconds of a call in all); never below 0."""
    mean_n = sum(n for n, _ in seconds) / len(seconds)
    mean_cost = sum(cost for _, cost in seconds) / len(seconds)
    spread = sum((n - mean_n) ** 2 for n, _ in seconds)
    each = sum((n - mean_n) * (cost - mean_cost) for n, cost in seconds) / spread if spread else 0.0
    each = min(max(each, 0.0), mean_cost / mean_n)
    return Cost(mean_cost - each * mean_n, each)


def capacity(scaled: Mapping[str, Cost], single: Mapping[str, Single], cores: int) -> Capacity:
    """On `cores` in all, those that are busy without any call not among them."""
    low, high, limit = 0.0, 1e6, ""
    while high - low > 0.01:
        middle = (low + high) / 2
        refused = _refused(scaled, single, cores, middle)
        low, high, limit = (low, middle, refused) if refused else (middle, high, limit)
    return Capacity(low, {name: each.replicas(low) or 1 for name, each in scaled.items()}, limit)


def _refused(scaled: Mapping[str, Cost], single: Mapping[str, Single], cores: int, per_second: float) -> str:
    """What cannot carry that many calls a second; nothing when all can."""
    used = per_second * sum(one.seconds for one in single.values())
    for name, one in single.items():
        if per_second * one.seconds > BUSY * one.cores:
            return f"one core of {name}" if one.cores == 1 else f"the {one.cores} cores of {name}"
    for name, each in scaled.items():
        replicas = each.replicas(per_second)
        if replicas is None:
            return f"what every replica of {name} does"
        used += per_second * (each.shared + each.each * replicas)
    return f"{cores} cores" if used > BUSY * cores else ""
