"""What each kind of line shows, if anything: the known failures held against a log that has been read.

A message is looked at once per kind. Where a rule depends on numbers (a status, a percentage), its kind's
lines are looked at one by one, and those that match become a kind of their own; so do those of a kind that
only holds the rest.
"""

from __future__ import annotations

import re
from array import array
from enum import Enum
from typing import NamedTuple

from services.orchestrator.agents.levels import Level
from services.orchestrator.agents.reading import Kind, Reading
from services.orchestrator.agents.rules import Rules, words_of

# What a client wrote into a request: its words are not the server's.
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_FAILING = frozenset(
    (
        "fail failed fails failure failures failing error errors exception exceptions fatal unable cannot "
        "couldn denied refused timeout timedout timed lost corrupt corrupted corruption abort aborted "
        "aborting aborts crash crashed crashes crashing panic panicked unavailable unreachable dead broken "
        "critical rejected exceed exceeded exceeds expired overflow overflowed killed abnormal abnormally "
        "alert emergency unexpected unexpectedly unhealthy invalid missing illegal violation violates "
        "unresponsive "
    ).split()
)
_FAILING_PHRASES = re.compile(r"exception\b|\b(?:could not|can't|not responding|time out)\b")
_LEADER = re.compile(r"\.\.\.|[:=] ?(?:0x)?[0-9a-f]{4}|^\s|:\s*$")  # what every detail has


class Sign(Enum):
    """What a message shows."""

    NOTHING = 0
    RULE = 1  # a known failure
    BENIGN = 2  # that all is well, or well again
    DETAIL = 3  # part of a fault reported elsewhere
    ADDRESSED = 4  # words to a model or a reader
    FAILING = 5  # words of failure, no known one


class Shown(NamedTuple):
    """What a kind of line shows, and the number of the rule (-1 when none)."""

    sign: Sign
    rule: int = -1


_NOTHING, _FAILS = Shown(Sign.NOTHING), Shown(Sign.FAILING)


def match(reading: Reading, rules: Rules) -> list[Shown]:
    """What each kind of `reading.kinds` shows. May split kinds of `reading`; every line keeps exactly one
    kind.
    """
    shown: list[Shown] = []
    by_line: dict[int, list[int]] = {}
    for number, kind in enumerate(reading.kinds):
        sees = _NOTHING
        if number in reading.mixed:
            by_line[number] = []
        elif kind.level is not Level.INFO or reading.source(kind.first) != "access":  # else: a request served
            text = _seen(reading, kind.first)
            sees, values = _judge(text, kind.level, rules)
            if values or (kind.count > 1 and rules.counts.search(text)):
                by_line[number] = values
        shown.append(sees)
    for number, lines in reading.lines_of(by_line).items():
        _split(number, lines, by_line[number], reading, rules, shown)
    return shown


def _seen(reading: Reading, line: int) -> str:
    """What the rules see of a line: its message in lower case, a request's words left out."""
    text = reading.message(line)
    if reading.source(line) == "access":
        text = _QUOTED.sub('"http"', text)
    return text.lower()


def _judge(text: str, level: Level, rules: Rules) -> tuple[Shown, list[int]]:
    """What a message shows, and the rules that have to see each line of its kind."""
    if level is Level.DEBUG:
        return _NOTHING, []
    words = words_of(text)
    if not rules.tell(words):
        return _loose(text, words, rules), []
    if rules.detail.match(text):
        return Shown(Sign.DETAIL), []
    if not rules.addressed_words.isdisjoint(words) and rules.addressed.search(text):
        return Shown(Sign.ADDRESSED), []
    benign = rules.calm(text, words)
    values: list[int] = []
    ordinary = level in {Level.INFO, Level.NOTICE}
    for candidate in rules.candidates(words):
        rule = rules.rules[candidate]
        if (benign and not rule.over_benign) or (ordinary and not rule.doubts_ordinary):
            continue
        if rule.shape is None:
            if _matches(candidate, text, rules):
                return Shown(Sign.RULE, candidate), values
        elif rule.shape.search(text):
            values.append(candidate)
    return (Shown(Sign.BENIGN) if benign else _loose(text, words, rules)), values


def _loose(text: str, words: set[str], rules: Rules) -> Shown:
    """What a message shows that no rule is about."""
    if not words.isdisjoint(_FAILING) or _FAILING_PHRASES.search(text):
        return Shown(Sign.DETAIL) if rules.detail.match(text) else _FAILS
    return Shown(Sign.DETAIL) if _LEADER.search(text) and rules.detail.match(text) else _NOTHING


def _matches(number: int, text: str, rules: Rules) -> bool:
    rule = rules.rules[number]
    return rule.pattern.search(text) is not None and not (rule.unless and rule.unless.search(text))


def _split(
    number: int, lines: array[int], values: list[int], reading: Reading, rules: Rules, shown: list[Shown]
) -> None:
    """Moves the lines of one kind that show more than the kind does to kinds of their own."""
    kind = reading.kinds[number]
    mixed = number in reading.mixed
    counting = not mixed and rules.counts.search(_seen(reading, kind.first)) is not None
    judged: dict[bool, tuple[Shown, list[int]]] = {}  # by whether the line's number says that all is well
    moved: dict[Shown, int] = {}
    first = last = 0
    for line in lines:
        text = _seen(reading, line)
        sees = shown[number]
        if mixed:
            sees, values = _judge(text, kind.level, rules)
        elif counting:
            calm = rules.benign.search(text) is not None
            if calm not in judged:
                judged[calm] = _judge(text, kind.level, rules)
            sees, values = judged[calm]
        better = next((rule for rule in values if _matches(rule, text, rules)), -1)
        if better >= 0 and (sees.sign is not Sign.RULE or better < sees.rule):
            sees = Shown(Sign.RULE, better)
        if sees == shown[number]:
            first, last = first or line, line
            continue
        if sees not in moved:
            moved[sees] = len(reading.kinds)
            reading.kinds.append(Kind(kind.level, kind.group, line, line))
            shown.append(sees)
        reading.kind_of[line - 1] = moved[sees]
        reading.kinds[moved[sees]].count += 1
        reading.kinds[moved[sees]].last = line
        kind.count -= 1
    kind.first, kind.last = first or kind.first, last or kind.last
