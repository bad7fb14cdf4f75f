"""Bursts: templates that come in one stretch of time far more often than they usually do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from services.orchestrator.agents.reading import Reading

BUCKETS = 60
_LEAST_BURST = 10
_DEVIATIONS = 6.0


@dataclass(frozen=True, slots=True)
class Burst:
    """`count` lines of one template (`group`) in one stretch of the log, where `usual` is ordinary; `first`
    is where it starts.
    """

    group: int
    count: int
    usual: float
    first: int


def bursts(reading: Reading, groups: Iterable[int]) -> list[Burst]:
    """The bursts of some templates, the strongest first.

    Time is cut into at most 60 equal stretches (lines instead of seconds where most lines have no time); a
    stretch is a burst when its count exceeds the template's median by six median absolute deviations (at
    least one each) and ten lines.
    """
    often = reading.miner.groups
    wanted = {group for group in groups if often[group].count >= _LEAST_BURST}
    if not wanted or len(reading.lines) < _LEAST_BURST:
        return []
    timed = [s for s in reading.seconds if s == s]  # noqa: PLR0124 (only NaN differs from itself)
    start, end = (min(timed), max(timed)) if timed else (0.0, 0.0)
    by_time = len(timed) * 2 > len(reading.lines) and end > start
    if not by_time:
        start, end = 0.0, float(len(reading.lines))
    width = (end - start) / BUCKETS or 1.0
    counts: dict[int, list[int]] = {group: [0] * BUCKETS for group in wanted}
    firsts: dict[tuple[int, int], int] = {}
    kinds = reading.kinds
    for index, kind in enumerate(reading.kind_of):
        if kind < 0 or (group := kinds[kind].group) not in wanted:
            continue
        moment = reading.seconds[index] if by_time else float(index)
        if moment != moment:  # noqa: PLR0124
            continue
        bucket = min(BUCKETS - 1, int((moment - start) / width))
        counts[group][bucket] += 1
        firsts.setdefault((group, bucket), index + 1)
    found = []
    for group, series in sorted(counts.items()):
        usual = median(series)
        spread = max(1.0, median(abs(n - usual) for n in series))
        peak = max(series)
        if peak >= _LEAST_BURST and peak > usual + _DEVIATIONS * spread:
            found.append(Burst(group, peak, usual, firsts[group, series.index(peak)]))
    return sorted(found, key=lambda burst: (-burst.count, burst.group))
