"""All counters of a few scopes, and which of them may be forgotten: none in which somebody has spent something."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from zlib import crc32

from services.policy.domain.counters import Counter, Key, Tally
from services.policy.domain.reservation import BudgetScope

SHELVES = 128
_LOOK_EVERY = 128
_DAY_SECONDS = 86_400
IDLE_SECONDS: Mapping[BudgetScope, int] = MappingProxyType(
    {BudgetScope.RUN: 7 * _DAY_SECONDS, BudgetScope.TASK: 30 * _DAY_SECONDS}
)
"""Whoever has not been drawn on for so long is over. Only time does that: no agent can by what it asks."""


class Counters:
    """Counters of a few scopes, on shelves, so that a change copies little. Immutable: `changed` makes another.

    Of `most` of them there is room: see `room`. Where that is None, only windows that have ended are forgotten. What
    goes follows from what was counted, and is the same everywhere.
    """

    __slots__ = ("_most", "_shelves")

    def __init__(self, most: int | None, shelves: tuple[Mapping[Key, Counter], ...] = ()) -> None:
        self._most = most
        self._shelves = shelves or (_NO_COUNTERS,) * SHELVES

    def __len__(self) -> int:
        return sum(map(len, self._shelves))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Counters) and [list(each.items()) for each in self._shelves] == [
            list(each.items()) for each in other._shelves
        ]

    def __hash__(self) -> int:
        return hash(self.keys())

    @property
    def most_on_a_shelf(self) -> int | None:
        return None if self._most is None else max(1, self._most // SHELVES)

    @property
    def fullest(self) -> int:
        """How many there are where there are most."""
        return max(map(len, self._shelves))

    def keys(self) -> tuple[Key, ...]:
        return tuple(key for shelf in self._shelves for key in shelf)

    def shelf(self, number: int) -> Mapping[Key, Counter]:
        return self._shelves[number]

    def agents_of(self, key: Key) -> tuple[Key, ...]:
        """The counters of `key`, whichever agent's."""
        shelf = self._shelves[shelf_of(key)]
        return tuple(each for each in shelf if each[:4] == key[:4])

    def tally(self, key: Key, window: int) -> Tally:
        """To count in `window`: empty when the counter is of an older one, and in its own when that is newer."""
        known = self.get(key)
        return Tally(Counter(window) if known is None or known.window < window else known)

    def get(self, key: Key) -> Counter | None:
        return self._shelves[shelf_of(key)].get(key)

    def changed(self, tallies: Mapping[Key, Tally], now_seconds: int) -> "Counters":
        """With `tallies` in place, and without what is too many and may be forgotten."""
        touched: dict[int, dict[Key, Counter]] = {}
        for key, tally in tallies.items():
            number = shelf_of(key)
            shelf = touched.get(number)
            if shelf is None:
                shelf = touched[number] = dict(self._shelves[number])
            shelf[key] = tally.counter(now_seconds)
        for number, shelf in touched.items():
            before = len(self._shelves[number])
            touched[number] = self._thinned(shelf, before, now_seconds) if len(shelf) > before else shelf
        return self._with(touched)

    def brought_back(self, now_seconds: int) -> "Counters":
        """What was counted in windows that have not begun counts in those that have: a clock was wrong."""
        return self._with(
            {number: _brought_back(shelf, now_seconds) for number, shelf in enumerate(self._shelves) if shelf}
        )

    def _with(self, changed: Mapping[int, Mapping[Key, Counter]]) -> "Counters":
        return Counters(self._most, tuple(changed.get(n, shelf) for n, shelf in enumerate(self._shelves)))

    def _thinned(self, shelf: dict[Key, Counter], before: int, now_seconds: int) -> dict[Key, Counter]:
        most = self.most_on_a_shelf
        if most is not None:
            return kept(shelf, now_seconds) if len(shelf) > most else shelf
        if len(shelf) // _LOOK_EVERY == before // _LOOK_EVERY:
            return shelf
        return {
            key: each
            for key, each in shelf.items()
            if not (each.at_rest and _is_over(key, each, now_seconds))
        }


_NO_COUNTERS: Mapping[Key, Counter] = MappingProxyType({})


def shelf_of(key: Key) -> int:
    return crc32(key.scope_id.encode()) % SHELVES


def kept(shelf: Mapping[Key, Counter], now_seconds: int) -> dict[Key, Counter]:
    """Those of runs and tasks that must not be forgotten: in which something is set aside, or spent and not over."""
    return {key: counter for key, counter in shelf.items() if not _forgettable(key, counter, now_seconds)}


def _forgettable(key: Key, counter: Counter, now_seconds: int) -> bool:
    if not counter.at_rest:
        return False
    idle = counter.touched + IDLE_SECONDS[key.scope] <= now_seconds
    return idle or counter.empty or _is_over(key, counter, now_seconds)


def _is_over(key: Key, counter: Counter, now_seconds: int) -> bool:
    return bool(key.window_seconds) and (counter.window + 1) * key.window_seconds <= now_seconds


def _brought_back(shelf: Mapping[Key, Counter], now_seconds: int) -> dict[Key, Counter]:
    return {
        key: replace(
            counter,
            window=min(counter.window, now_seconds // key.window_seconds if key.window_seconds else 0),
            touched=min(counter.touched, now_seconds),
        )
        for key, counter in shelf.items()
    }
