"""No pattern is kept busy by a text that was made for it: they run on what others write, many of them on an event loop.

Each repeat of a pattern gets a text that goes on and on with what it repeats and ends with what it does not, in several
spellings: where those can be cut into pieces in many ways, all of the ways are tried.
"""

import importlib
import pkgutil
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from random import Random
from string import printable
from types import ModuleType
from typing import Any

import pytest

import chassis
import kernel
import services
from services.orchestrator.agents.rulebook import packaged

_parser = importlib.import_module("re._parser")  # what `re` itself makes of a pattern
REPEATS = ("MAX_REPEAT", "MIN_REPEAT")
COMMON = "aaa00_ -./:,;=\"'\\[(<@"
SPELLINGS = 4
MOST_CHARACTERS = 1_200
LIMIT_SECONDS = 0.25  # of this process' own time, for one text


class TooLong(Exception):
    """Time is up."""


@contextmanager
def limited() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TooLong

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, LIMIT_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def slow(pattern: re.Pattern[Any]) -> str:
    """A text that it takes long about; empty when none is found."""
    for text in sorted(set(_texts(pattern)), key=len):
        given = text.encode("latin-1", "replace") if isinstance(pattern.pattern, bytes) else text
        try:
            with limited():
                pattern.search(given)
                pattern.fullmatch(given)
        except TooLong:
            return text
    return ""


def _texts(pattern: re.Pattern[Any]) -> Iterator[str]:
    tree = _parser.parse(pattern.pattern, pattern.flags)
    for seed in range(SPELLINGS):
        pick = Random(seed)
        alphabet = "".join(dict.fromkeys(pick.sample(COMMON, len(COMMON)))) + printable
        for before, piece in _repeated(tree, pick, alphabet):
            if piece:
                yield before + piece * min(200, MOST_CHARACTERS // len(piece)) + "\n\0"


def _repeated(tree: Any, pick: Random, alphabet: str, before: str = "") -> Iterator[tuple[str, str]]:
    """What each repeat repeats, and what stands before it."""
    for part in tree:
        for inner in _within(part):
            yield from _repeated(inner, pick, alphabet, before)
            if str(part[0]) in REPEATS:
                yield before, _spelt(inner, pick, alphabet)
        before += _spelt([part], pick, alphabet)


def _within(part: Any) -> Any:
    match str(part[0]), part[1]:
        case (("MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT"), (_, _, inner)):
            return (inner,)
        case "SUBPATTERN", (*_, inner):
            return (inner,)
        case "BRANCH", (_, ways):
            return ways
        case (("ASSERT" | "ASSERT_NOT"), (_, inner)):
            return (inner,)
        case "ATOMIC_GROUP", inner:
            return (inner,)
        case _:
            return ()


def _spelt(tree: Any, pick: Random, alphabet: str) -> str:
    """A text that it matches, looks around left out."""
    said = ""
    for part in tree:
        match str(part[0]), part[1]:
            case "LITERAL", code:
                said += chr(code)
            case (("NOT_LITERAL" | "IN" | "ANY"), _):
                said += next((c for c in alphabet if _is_one(part, c)), "")
            case (("MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT"), (least, most, inner)):
                times = min(int(most), least + pick.choice((0, 0, 1, 4)))
                said += "".join(_spelt(inner, pick, alphabet) for _ in range(times))
            case "BRANCH", (_, ways):
                said += _spelt(pick.choice(ways), pick, alphabet)
            case (("SUBPATTERN" | "ATOMIC_GROUP"), _):
                said += _spelt(_within(part)[0], pick, alphabet)
            case _:
                pass
    return said


def _is_one(part: Any, char: str) -> bool:
    match str(part[0]), part[1]:
        case "ANY", _:
            return True
        case "LITERAL", code:
            return ord(char) == int(code)
        case "NOT_LITERAL", code:
            return ord(char) != int(code)
        case "RANGE", (first, last):
            return int(first) <= ord(char) <= int(last)
        case "CATEGORY", kind:
            name = str(kind).removeprefix("CATEGORY_")
            said = {"DIGIT": char.isdigit(), "SPACE": char.isspace(), "WORD": char.isalnum() or char == "_"}
            return said[name.removeprefix("NOT_")] is not name.startswith("NOT_")
        case "IN", members:
            negated = str(members[0][0]) == "NEGATE"
            return any(_is_one(each, char) for each in members[negated:]) is not negated
        case _:
            return False


def _patterns(value: object) -> Iterator[re.Pattern[Any]]:
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, dict):
        yield from (found for each in value.values() for found in _patterns(each))
    elif isinstance(value, tuple | list):
        yield from (found for each in value for found in _patterns(each))
    elif is_dataclass(value) and not isinstance(value, type):
        yield from (found for each in fields(value) for found in _patterns(getattr(value, each.name)))


def _of(root: ModuleType) -> Iterator[re.Pattern[Any]]:
    for module in pkgutil.walk_packages(root.__path__, f"{root.__name__}."):
        if not module.name.endswith("__main__"):
            yield from _patterns(list(vars(importlib.import_module(module.name)).values()))


@pytest.mark.parametrize("root", [kernel, chassis, services], ids=lambda root: root.__name__)
def test_no_text_keeps_a_pattern_of_the_code_busy(root: ModuleType) -> None:
    assert not {pattern.pattern: text for pattern in set(_of(root)) if (text := slow(pattern))}


def test_no_text_keeps_a_pattern_of_the_rules_busy() -> None:
    assert not {pattern.pattern: text for pattern in set(_patterns(packaged())) if (text := slow(pattern))}


@pytest.mark.parametrize(
    "pattern",
    [
        r"/(?:[A-Za-z0-9_][A-Za-z0-9._-]{0,127}/?){0,20}",
        r"^(?:[a-z]{1,5}\d{0,3}[:=] ?(?:0x)?[0-9a-f]{4,16}(?: [0-9a-f]{8,16})*[\s,;]*){1,}$",
        r"(?:\w+\s?)*!",
        rb"(?:a|aa)+$",
    ],
)
def test_one_that_can_be_kept_busy_is_found(pattern: str | bytes) -> None:
    assert slow(re.compile(pattern))
