"""What can be said of a custom rule by its text."""

from time import process_time

import pytest

from services.policy.domain.rego_text import read_module
from tests.unit.policy.rego_words import DRAINS, DRAINS_TEST


def test_a_module_is_known_by_its_text() -> None:
    text = read_module(DRAINS)
    assert text.package == "provost.rules.drains"
    assert text.speaks == ("deny", "approve")
    assert text.looks_at == {
        ("action", "name"), ("run", "labels"), ("action", "target"), ("time", "unix_seconds"),
    }  # fmt: skip
    assert text.flaws == ()
    assert read_module(DRAINS_TEST, test=True).tests == (
        "test_secrets_do_not_drain",
        "test_others_do",
        "test_others_do_too",
    )


@pytest.mark.parametrize(
    ("module", "line", "problem"),
    [
        ('package p\n\ndeny := "no" if input.x', 3, "deny contains"),
        ('package p\n\ndeny[msg] {\n msg := "x"\n}', 3, "deny contains"),
        ('package p\n\nx := 1 deny contains "a" if true', 3, "deny must begin a line"),
        ('package p\n\nx := 1.5e3 deny contains "a" if true', 3, "deny must begin a line"),
        (
            'package p\n\napprove contains "a" if { true } deny contains "b" if true',
            3,
            "deny must begin a line",
        ),
        ('package p\n\nimport rego.v1 deny contains "b" if true', 3, "deny must begin a line"),
        ('package p\n\napprove contains input.a.in deny contains "b" if true', 3, "deny must begin a line"),
        ('package p\n\nx := input.a.default deny contains "b" if true', 3, "deny must begin a line"),
        (
            "package p\n\ndeny contains x if x := upper(1) with upper as uuid.rfc4122",
            3,
            "not answer the same",
        ),
        ('package p\n\ndeny contains "x" if time["now_ns"]() > 1', 3, "not answer the same"),
        ("package p\n\n\0", 3, "U+0000"),
        ("package p\n\ntest_v := 1", 3, "a test is written as"),
        ('package p\n\ntest_s contains "x" if true', 3, "a test is written as"),
        ("package p\n\ntest_helper(x) if x == 1", 3, "a test is written as"),
        ('package p\n\ndeny contains "x" if {\n time.now_ns() > 4\n}', 4, "time.now_ns"),
        ("package p\n\ndefault deny := {}\n", 3, "no default"),
        ('package p\n\ndeny contains $"{input.x}" if true', 3, "sprintf"),
    ],
)
def test_what_the_engine_would_pass_over_is_found_by_the_text(module: str, line: int, problem: str) -> None:
    flaws = read_module(module).flaws
    assert any(flaw.line == line and problem in flaw.text for flaw in flaws), flaws


@pytest.mark.parametrize(
    "text",
    [
        "limits[x] := 1.5e3 if some x in input.b",
        'deny contains msg if {\n  msg := "x"\n} else := 3',
        "import data.provost.rules.other as o\n\ndefault allowed := false",
        "deny contains x if some x in input.a with input as data.b",
        "x := true if\n  input.a",
        "f(x) := y if y := x + 1",
        "test_b := true if count(deny) == 0",
        "x := input.a.if if input.a.in == input.a.not",
        "test_a if count(deny) == 0 with input.a as {}",
        'deny contains "a" if every k, v in input.a { k == v }',
    ],
)
def test_rules_on_lines_of_their_own_are_fine(text: str) -> None:
    assert read_module(f"package p\n\n{text}\n").flaws == ()


def test_what_stands_in_the_next_line_is_something_else() -> None:
    text = read_module(
        'package p\n\ndeny contains "a" if {\n  some x in input.run.labels\n  ["secret"][_] == x\n}\n'
    )
    assert text.looks_at == {("run", "labels")}


def test_a_string_that_is_never_closed_is_read_once() -> None:
    began = process_time()
    assert read_module("package provost.rules.x\n" + '\\"' * 99_000).tests == ()
    assert process_time() - began < 5, "it takes hundredths of a second"
