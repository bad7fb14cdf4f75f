"""Patterns over action names and targets: `*` stands for any text, everything else for itself."""

import re
from functools import lru_cache


@lru_cache(maxsize=4096)
def compiled(pattern: str) -> re.Pattern[str]:
    """`pattern` as an expression that must match the whole text; runs of `*` count as one, so matching stays quick."""
    parts = re.split(r"\*+", pattern)
    return re.compile(".*".join(re.escape(part) for part in parts), re.DOTALL)


def first_match(patterns: tuple[str, ...], text: str) -> str | None:
    """The first of `patterns` that matches the whole of `text`."""
    for pattern in patterns:
        if compiled(pattern).fullmatch(text) is not None:
            return pattern
    return None
