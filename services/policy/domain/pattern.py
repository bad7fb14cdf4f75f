"""Patterns over action names and targets: `*` stands for any text, everything else for itself."""

import re
from collections.abc import Iterable
from functools import lru_cache


def expression(pattern: str) -> str:
    """`pattern` as a regular expression that must match the whole text; runs of `*` count as one: that stays quick."""
    return ".*".join(re.escape(part) for part in re.split(r"\*+", pattern))


@lru_cache(maxsize=4096)
def compiled(pattern: str) -> re.Pattern[str]:
    """The compiled `expression` of `pattern`."""
    return re.compile(expression(pattern), re.DOTALL)


def first_match(patterns: tuple[str, ...], text: str) -> str | None:
    """The first of `patterns` that matches the whole of `text`."""
    for pattern in patterns:
        if compiled(pattern).fullmatch(text) is not None:
            return pattern
    return None


def covers_all(pattern: str, other: str) -> bool:
    """Whether whatever matches `other` matches `pattern`, too; no when in doubt."""
    # Thousands are held against each other when a set is looked over: compiling each would take a minute.
    first, *rest = pattern.split("*")
    if not rest:
        return pattern == other
    *between, last = rest
    at, end = len(first), len(other) - len(last)
    if at > end or not other.startswith(first) or not other.endswith(last):
        return False
    for part in between:
        at = other.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return True


class AnyOf:
    """Many patterns as one: asked once, however many they are."""

    __slots__ = ("_all", "_exact", "_others")

    def __init__(self, patterns: Iterable[str]) -> None:
        patterns = tuple(dict.fromkeys(patterns))
        self._all = any(pattern.strip("*") == "" and pattern for pattern in patterns)
        self._exact = frozenset(pattern for pattern in patterns if "*" not in pattern)
        others = "|".join(expression(pattern) for pattern in patterns if "*" in pattern)
        self._others = re.compile(others, re.DOTALL) if others and not self._all else None

    def matches(self, text: str) -> bool:
        """Whether one of them matches the whole of `text`."""
        return (
            self._all
            or text in self._exact
            or (self._others is not None and self._others.fullmatch(text) is not None)
        )
