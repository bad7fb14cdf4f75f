"""Patterns over action names and targets: `*` stands for any text, everything else for itself.

Both come from outside. So none becomes a regular expression, which tries every way there is to part a text: what stands
between the stars is looked for once, from left to right.
"""

from collections.abc import Iterable
from functools import lru_cache


@lru_cache(maxsize=16_384)
def _parts(pattern: str) -> tuple[str, tuple[str, ...], str]:
    """What stands before the first `*`, between two, and behind the last; there is at least one."""
    first, *between, last = pattern.split("*")
    return first, tuple(part for part in between if part), last


def first_match(patterns: tuple[str, ...], text: str) -> str | None:
    """The first of `patterns` that matches the whole of `text`."""
    for pattern in patterns:
        if pattern == text or ("*" in pattern and covers_all(pattern, text)):
            return pattern
    return None


def covers_all(pattern: str, other: str) -> bool:
    """Whether whatever matches `other` matches `pattern`, too; no when in doubt. A text without `*` matches itself."""
    if "*" not in pattern:
        return pattern == other
    first, between, last = _parts(pattern)
    return other.startswith(first) and _ends(other, len(first), between, last)


def _ends(text: str, at: int, between: tuple[str, ...], last: str) -> bool:
    """Whether from `at` on there is all of `between`, in this order, and `last` at the end behind it."""
    end = len(text) - len(last)
    if at > end or not text.endswith(last):
        return False
    for part in between:
        at = text.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return True


class AnyOf:
    """Many patterns as one: asked once, however many they are. Those are looked at whose beginning the text has."""

    __slots__ = ("_exact", "_lasts", "_lengths", "_rest")

    def __init__(self, patterns: Iterable[str]) -> None:
        patterns = tuple(dict.fromkeys(patterns))
        self._exact = frozenset(pattern for pattern in patterns if "*" not in pattern)
        self._rest: dict[str, list[tuple[tuple[str, ...], str]]] = {}
        lasts: dict[str, list[str]] = {}
        for first, between, last in (_parts(pattern) for pattern in patterns if "*" in pattern):
            if between:
                self._rest.setdefault(first, []).append((between, last))
            else:
                lasts.setdefault(first, []).append(last)
        self._lasts = {first: ("",) if "" in each else tuple(each) for first, each in lasts.items()}
        self._lengths = sorted({len(first) for first in (*self._lasts, *self._rest)})

    def matches(self, text: str) -> bool:
        """Whether one of them matches the whole of `text`."""
        if text in self._exact:
            return True
        for length in self._lengths:
            first = text[:length]
            if text.endswith(self._lasts.get(first, ()), length):
                return True
            for between, last in self._rest.get(first, ()):
                if _ends(text, length, between, last):
                    return True
        return False
