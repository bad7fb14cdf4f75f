"""Room for counters of runs and tasks: nothing that is spent is forgotten for want of it, and no agent takes it all."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from services.policy.domain.budget_faults import TooManyCounters
from services.policy.domain.counters import Counter, Key
from services.policy.domain.shelves import Counters, kept, shelf_of

SHARE = 4
"""Once half of a shelf is taken, one agent's runs get no more than a quarter of it: an agent names them as it likes."""


class Room:
    """What room there is while several draws are tried, one after the other."""

    def __init__(self, counters: Counters, now_seconds: int) -> None:
        self._counters = counters
        self._now_seconds = now_seconds
        self._new: defaultdict[int, set[Key]] = defaultdict(set)
        self._kept: dict[int, Mapping[Key, Counter]] = {}

    def tight(self, more: int) -> bool:
        """Whether `more` could fill some shelf by half; until then anybody may take what he wants."""
        return self._counters.fullest + more >= (self._counters.most_on_a_shelf or 0) // 2

    def take(self, keys: Iterable[Key]) -> TooManyCounters | None:
        """Count all of `keys` as there; or none of them, and why there is no room."""
        taken: list[tuple[int, Key]] = []
        refused = None
        for key in keys:
            number = shelf_of(key)
            if key in self._new[number] or self._counters.get(key) is not None:
                continue
            refused = self._refusal(number, key)
            if refused is not None:
                break
            self._new[number].add(key)
            taken.append((number, key))
        if refused is not None:
            for number, key in taken:
                self._new[number].discard(key)
        return refused

    def _refusal(self, number: int, key: Key) -> TooManyCounters | None:
        most, new = self._counters.most_on_a_shelf, self._new[number]
        shelf = self._counters.shelf(number)
        if most is None or len(shelf) + len(new) < most // 2:
            return None
        there = self._kept.get(number)
        if there is None:
            there = self._kept[number] = kept(shelf, self._now_seconds)
        if len(there) + len(new) >= most:
            return TooManyCounters()
        if not key.agent_id or len(there) + len(new) < most // 2:
            return None
        own = sum(each.agent_id == key.agent_id for each in (*there, *new))
        return TooManyCounters(key.agent_id) if own >= most // SHARE else None
