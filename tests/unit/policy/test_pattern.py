"""Patterns: what they match, and that no pattern and no text make it slow."""

import re
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.policy.domain.pattern import AnyOf, covers_all, first_match

PATTERNS, TEXTS = st.text("ab*\n", max_size=7), st.text("ab*\n", max_size=9)
STUBBORN = ["*a" * 5 + "*b", "*a" * 120 + "*b", "*a" * 120 + "*b*a", "*" + "a" * 80 + "b" + "a" * 80 + "*a"]
"""Held against many a's, each would have to be taken in every way there is before it is known not to match."""


def expected(pattern: str, text: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, re.split(r"\*+", pattern))), text, re.DOTALL) is not None


@given(PATTERNS, TEXTS)
def test_a_star_stands_for_any_text(pattern: str, text: str) -> None:
    assert covers_all(pattern, text) == expected(pattern, text)
    assert first_match((pattern,), text) == (pattern if expected(pattern, text) else None)


@given(st.lists(PATTERNS, max_size=6), TEXTS)
def test_many_at_once_match_what_one_of_them_does(patterns: list[str], text: str) -> None:
    assert AnyOf(patterns).matches(text) == any(expected(each, text) for each in patterns)
    assert first_match(tuple(patterns), text) == next((p for p in patterns if expected(p, text)), None)


@pytest.mark.parametrize("pattern", STUBBORN)
def test_no_pattern_is_tried_in_every_way(pattern: str) -> None:
    text, many = "a" * 4096, AnyOf([pattern, *(f"{pattern}{n}*a" for n in range(50))])
    began = process_time()
    for _ in range(20):
        assert first_match((pattern,), text) is None
        assert not many.matches(text)
    assert process_time() - began < 2, "it takes a tenth of that"
