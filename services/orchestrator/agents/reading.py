"""A log, read once: lines, their heads, and which of them say the same thing.

What comes back is in columns, so that a million lines fit: one number per line for time, level, start of
message and kind. A *kind* is all lines with the same level and the same masked message; whatever is costly is
done once per kind, not once per line.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable
from dataclasses import dataclass

from services.orchestrator.agents.drain import MAX_CHARS, Miner
from services.orchestrator.agents.formats import Reader
from services.orchestrator.agents.levels import Level

MAX_KINDS = 15_000
MAX_LINES = 1_200_000
NO_TIME = float("nan")
_HALF_YEAR_SECONDS = 180 * 86_400
_LEAP_YEAR_SECONDS = 366 * 86_400
_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")  # what terminals are sent to paint words; it says nothing
_RECENT_YEARS = 1_000_000_000  # below this a time has no year of its own (see `moments`) or none at all


@dataclass(slots=True)
class Kind:
    """Lines that say the same thing: counted, with the first and the last of them (numbers start at 1)."""

    level: Level
    group: int
    first: int
    last: int
    count: int = 0


@dataclass(frozen=True, slots=True)
class Record:
    """One line, taken apart: where it is, when (seconds, see `moments`) or None, how grave, from whom, and
    the message's span.
    """

    line: int
    seconds: float | None
    level: Level
    source: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Reading:
    """A log in columns. `lines[n - 1]` is line n, whole; the other columns go by the same index."""

    lines: list[str]
    seconds: array[float]
    levels: bytearray
    starts: array[int]
    sources: array[int]
    names: list[str]
    kind_of: array[int]
    kinds: list[Kind]
    whole: bool  # whether all of the log was read (see `split_lines`)
    mixed: set[int]  # kinds that hold the rest, when there are too many different messages
    miner: Miner

    def message(self, line: int) -> str:
        """What a line says after its head, cut to what is looked at."""
        start = self.starts[line - 1]
        return _unpainted(self.lines[line - 1][start : start + MAX_CHARS])

    def source(self, line: int) -> str:
        """The program or component that wrote a line; empty when the line does not say."""
        return self.names[self.sources[line - 1]]

    def record(self, line: int) -> Record:
        """One line, taken apart."""
        seconds = self.seconds[line - 1]
        return Record(
            line,
            None if seconds != seconds else seconds,  # noqa: PLR0124 (only NaN differs from itself)
            Level(self.levels[line - 1]),
            self.source(line),
            self.starts[line - 1],
            len(self.lines[line - 1]),
        )

    def lines_of(self, kinds: Iterable[int]) -> dict[int, array[int]]:
        """The line numbers of each of some kinds, in order."""
        wanted: dict[int, array[int]] = {kind: array("i") for kind in kinds}
        if wanted:
            for line, kind in enumerate(self.kind_of, 1):
                if kind in wanted:
                    wanted[kind].append(line)
        return wanted


def split_lines(text: str) -> list[str]:
    """The lines of a log, without their ends (LF or CRLF); a last empty one is none. Other separators are
    part of a line.

    At most `MAX_LINES`: what comes after is not looked at.
    """
    lines = text.split("\n", MAX_LINES)
    if lines[-1] == "" or len(lines) > MAX_LINES:
        lines.pop()
    return [line.removesuffix("\r") for line in lines] if "\r" in text else lines


def read(text: str) -> Reading:
    """Reads a whole log. Empty lines are lines, but of no kind that counts (-1)."""
    lines = split_lines(text)
    count = len(lines)
    whole = count < MAX_LINES or text.count("\n") <= MAX_LINES
    miner, reader = Miner(), Reader()
    seconds, starts = array("d", [NO_TIME]) * count, array("i", [0]) * count
    sources, kind_of = array("i", [0]) * count, array("i", [-1]) * count
    levels = bytearray(count)
    names, numbers = [""], {"": 0}
    kinds: list[Kind] = []
    mixed: set[int] = set()
    known: list[dict[str, int]] = [{} for _ in Level]
    before, years = NO_TIME, 0.0

    for index, line in enumerate(lines):
        if not line:
            continue
        cut = line if len(line) <= MAX_CHARS + 400 else line[: MAX_CHARS + 400]
        bare = _unpainted(cut).lstrip() if "\x1b" in cut else cut
        when, level, source, start = reader.head(bare)
        if bare is not cut:  # colours became spaces, so that places in the line stay what they were
            start += len(cut) - len(bare)
            cut = _unpainted(cut)
        message = cut[start:]
        if not message or message.isspace():
            continue
        if when is not None:
            if when < _RECENT_YEARS:  # no year is written: December is followed by January
                when += years
                if when < before - _HALF_YEAR_SECONDS:
                    years += _LEAP_YEAR_SECONDS
                    when += _LEAP_YEAR_SECONDS
                before = when
            seconds[index] = when
        starts[index] = start
        levels[index] = level
        if source:
            number = numbers.get(source)
            if number is None:
                number = _number(source, names, numbers)
            sources[index] = number
        masked = miner.mask(message)
        of_level = known[level]
        kind = of_level.get(masked)
        if kind is None:
            if len(kinds) < MAX_KINDS:
                kind = of_level[masked] = len(kinds)
                kinds.append(Kind(level, miner.place(masked), index + 1, index + 1))
            else:  # too many different messages: the rest of a level is one kind
                kind = of_level.get("")
                if kind is None:
                    kind = of_level[""] = len(kinds)
                    mixed.add(kind)
                    kinds.append(Kind(level, miner.place("<*>"), index + 1, index + 1))
        found = kinds[kind]
        found.count += 1
        found.last = index + 1
        kind_of[index] = kind

    for kept in kinds:
        miner.groups[kept.group].count += kept.count
    return Reading(lines, seconds, levels, starts, sources, names, kind_of, kinds, whole, mixed, miner)


def _unpainted(text: str) -> str:
    """A text with its colours as spaces: as long as before."""
    return _COLOUR.sub(lambda found: " " * len(found[0]), text) if "\x1b" in text else text


def _number(source: str, names: list[str], numbers: dict[str, int]) -> int:
    """The number of a source; after ten thousand of them the rest has none."""
    if len(names) >= 10_000:
        return 0
    numbers[source] = len(names)
    names.append(source)
    return numbers[source]
