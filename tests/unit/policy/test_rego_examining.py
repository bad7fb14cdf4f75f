"""Custom rules before they go live: what is wrong with them, with its place, and how their own tests come out."""

import itertools
from time import monotonic
from typing import Any

import pytest

from services.policy.adapters.rego import examining
from services.policy.adapters.rego.child import Child
from services.policy.adapters.rego.rules import RegoRules
from services.policy.domain.policyset_rules import RegoModule
from services.policy.domain.policyset_tests import Examined
from services.policy.domain.rules import Said
from tests.unit.policy.rego_words import (
    ASK_TEST,
    DRAINS,
    DRAINS_TEST,
    SLOW_TEST,
    SLOW_TEST_ALONE,
    TAKES_FOR_EVER,
    set_of,
    told,
)


def test_a_test_reaches_nobody(rules: RegoRules) -> None:
    test = """package provost.rules.drains_test

test_asks_around if http.send({"method": "get", "url": "http://127.0.0.1:1/"}).status_code == 200
"""
    (told_of,) = rules.examine([RegoModule("drains", DRAINS, test)]).tests
    assert not told_of.passed
    assert "too many open files" in told_of.text


def test_a_set_without_tests_may_be_published(rules: RegoRules) -> None:
    assert rules.examine([RegoModule("drains", DRAINS)]) == Examined()


def test_a_rule_may_be_named_as_what_asks_it(rules: RegoRules) -> None:
    module = RegoModule("ask", 'package provost.rules.ask\n\ndeny contains "a" if true\n', ASK_TEST)
    assert [test.passed for test in rules.examine([module]).tests] == [True]
    (said,) = rules.judge(set_of(module), [told()])
    assert said.denied == (Said("ask", "a"),)


def test_a_question_that_takes_too_long_is_not_published(
    rules: RegoRules, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examining, "MOST_SECONDS", 0.005)
    slow = """package provost.rules.slow

deny contains "x" if {
    input.action.name
    count([1 | some i in numbers.range(1, 300); some j in numbers.range(1, 300); i + j == 0]) == 1
}
"""
    (flaw,) = rules.examine([RegoModule("slow", slow)]).flaws
    assert "one question takes" in flaw.text


def test_tests_of_rules_are_told_one_by_one(rules: RegoRules) -> None:
    broken = DRAINS_TEST + "\ntest_is_false if 1 == 2\n"
    found = rules.examine([RegoModule("drains", DRAINS, broken)])
    assert found.flaws == ()
    assert [(test.name, test.passed) for test in found.tests] == [
        ("drains.test_secrets_do_not_drain", True),
        ("drains.test_others_do", True),
        ("drains.test_others_do_too", True),
        ("drains.test_is_false", False),
    ]


def test_the_tests_of_a_set_are_compiled_once_and_again_after_one_of_which_the_child_died(
    rules: RegoRules, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, ask = [], Child.ask

    def counted(child: Child, what: dict[str, Any], seconds: float) -> dict[str, Any]:
        asked.append(what["do"])
        return ask(child, what, seconds)

    monkeypatch.setattr(Child, "ask", counted)
    found = rules.examine([RegoModule("drains", DRAINS, DRAINS_TEST)])
    assert [test.passed for test in found.tests] == [True] * 3
    assert asked.count("load") == 2, "the rules, and all tests together"
    monkeypatch.setattr(examining, "SECONDS", 0.5)
    found = rules.examine(
        [RegoModule("drains", DRAINS, f"{DRAINS_TEST}\n{SLOW_TEST}\ntest_last if 1 == 1\n")]
    )
    assert [test.passed for test in found.tests] == [True, True, True, False, True]


def test_all_that_is_to_be_looked_over_in_a_set_has_one_time_together(
    rules: RegoRules, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examining, "SECONDS_IN_ALL", 1.0)
    slow = "\n".join(SLOW_TEST.replace("test_slow", f"test_{n}") for n in range(20))
    began = monotonic()
    found = rules.examine([RegoModule("drains", DRAINS, f"{DRAINS_TEST}\n{slow}")])
    assert monotonic() - began < 20, "each by itself takes as long as it may: 5 s"
    assert "all rules and their tests together took longer than 1 s" in found.tests[-1].text


def test_what_nobody_waits_for_any_more_is_given_up(rules: RegoRules) -> None:
    looks = itertools.count()
    began = monotonic()
    found = rules.examine([RegoModule("drains", DRAINS, SLOW_TEST_ALONE)], lambda: next(looks) > 20)
    assert monotonic() - began < 20
    assert [(test.passed, "nobody waits" in test.text) for test in found.tests] == [(False, True)] * 9
    asked = [told(seconds=n) for n in range(900)]
    (*_, last) = rules.rehearse(set_of(RegoModule("slow", TAKES_FOR_EVER)), asked, lambda: True)
    assert "nobody waits" in last.failed


@pytest.mark.parametrize(
    ("module", "line", "problem"),
    [
        ("package provost.rules.x\n\ndeny contains msg if {\n  msg := = 1\n}\n", 4, "unexpected eq token"),
        ("package provost.rules.x\n\ndeny contains msg {\n  msg := 1\n}\n", 3, "`if`"),
        (
            'package provost.rules.x\n\ndeny contains "a" if {\n  y == 2\n  y := 1 + 1\n}\n',
            5,
            "var y referenced above",
        ),
        ('package provost.rules.x\n\ndeny contains "a" if not foo\n', 3, "var foo is unsafe"),
        (
            'package provost.rules.x\n\ndeny contains "a" if {\n  some x\n  x > 3\n}\n',
            5,
            "var x is unsafe",
        ),
        ('package provost.rules.x\n\ndeny contains "a" if input := 3\n', 3, "must not shadow input"),
        ("package provost.rules.y\n", 1, "package provost.rules.x"),
        ('package provost.rules.x\n\ndeny contains "a" if {\n  nobody_knows(1)\n}\n', 4, "nobody_knows"),
        ('package provost.rules.x\n\ndeny contains "a" if rec\n\nrec if deny["a"]\n', 3, "is recursive"),
    ],
)
def test_what_the_engine_finds_wrong_is_told_with_its_place(
    rules: RegoRules, module: str, line: int, problem: str
) -> None:
    found = rules.examine([RegoModule("x", module)])
    assert any(flaw.line == line and problem in flaw.text for flaw in found.flaws), found.flaws
    assert found.tests == ()


def test_what_is_wrong_in_several_modules_is_told_of_each(rules: RegoRules) -> None:
    bad = [f'package provost.rules.{name}\n\ndeny contains "x" if := {name}\n' for name in ("a", "b")]
    good = RegoModule("c", 'package provost.rules.c\n\ndeny contains "x" if input.action.name == "y"\n')
    found = rules.examine([RegoModule("a", bad[0]), good, RegoModule("b", bad[1])]).flaws
    assert [(flaw.path, flaw.line, flaw.column) for flaw in found] == [
        ("rules/0/rego", 3, 22),
        ("rules/2/rego", 3, 22),
    ]


def test_what_fails_is_told_once_though_two_rules_need_it(rules: RegoRules) -> None:
    text = """package provost.rules.x

limit := to_number(input.action.target)

deny contains "a" if limit > 3

approve contains "b" if limit > 2
"""
    (flaw,) = rules.examine([RegoModule("x", text)]).flaws
    assert (flaw.path, flaw.line) == ("rules/0/rego", 3)
