"""How a bench ends: by an exit code that says whether its numbers are good, and that no crash has."""

from collections.abc import Iterable

FELL_SHORT = 3
"""It ran, and a number misses its goal. Python itself ends with 1 (an exception) or 2 (wrong arguments)."""


def ended(goals_met: Iterable[bool]) -> int:
    """0, or FELL_SHORT if one goal was not met."""
    return 0 if all(goals_met) else FELL_SHORT
