"""Custom rules: found wrong by their text, evaluated, remembered, and never believed when they cannot be evaluated."""

import asyncio
import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, process_time
from typing import Any

import pytest

from services.policy.adapters.rego import examining
from services.policy.adapters.rego.child import Child
from services.policy.adapters.rego.plan import plan_of, projected
from services.policy.adapters.rego.rules import RegoRules
from services.policy.domain.policyset import PolicySet
from services.policy.domain.policyset_rules import RegoModule, Rules
from services.policy.domain.policyset_tests import Examined
from services.policy.domain.rego_text import read_module
from services.policy.domain.rules import SILENCE, RuleOutcome, Said
from tests.fakes.wait import until

DRAINS = """package provost.rules.drains

# input.nothing is not looked at here, nor is "input.string"
deny contains msg if {
    input.action.name == "node.drain"
    input.run.labels[_] == "secret"
    msg := sprintf("%s is drained by a run that has read secrets", [input.action.target])
}

approve contains {"id": "night", "text": "at night"} if input["time"].unix_seconds < 100
"""
DRAINS_TEST = """package provost.rules.drains_test

import data.provost.rules.drains

test_secrets_do_not_drain if {
    count(drains.deny) == 1 with input as {
        "action": {"name": "node.drain", "target": "n1"}, "run": {"labels": ["secret"]}, "time": {"unix_seconds": 500},
    }
}

nothing := {"action": {"name": "node.drain"}, "run": {"labels": []}}

test_others_do if {
    every given in [nothing, {}] {
        count(drains.deny) == 0 with input as given
    }
}

test_others_do_too if count(drains.deny) == 0 with input as {"action": {"name": "node.drain"}, "run": {"labels": []}}
"""
ASK_TEST = "package provost.rules.ask_test\n\ntest_a if count(data.provost.rules.ask.deny) == 1\n"
SLOW_TEST = """
test_slow if {
    count([1 | some i in numbers.range(1, 100000); some j in numbers.range(1, 100000); i + j == 300000]) == 1
}
"""
SLOW_TEST_ALONE = "package provost.rules.drains_test\n" + "\n".join(
    SLOW_TEST.replace("test_slow", f"test_{n}") for n in range(9)
)


def told(name: str = "node.drain", labels: tuple[str, ...] = (), seconds: int = 500) -> dict[str, Any]:
    return {
        "action": {"name": name, "target": "n1", "environment": "sandbox", "parameters": {}},
        "run": {"labels": list(labels)},
        "time": {"unix_seconds": seconds},
    }


def set_of(*modules: RegoModule) -> PolicySet:
    return PolicySet("1", {}, {}, (), (), Rules(rego=modules))


@pytest.fixture
def rules() -> Iterator[RegoRules]:
    made = RegoRules()
    yield made
    made.end()


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


def test_whoever_looks_at_all_of_the_input_is_told_all_of_it() -> None:
    plan = plan_of([RegoModule("a", 'package provost.rules.a\n\ndeny contains "x" if walk(input)\n')])
    (group,) = plan.groups
    assert group.paths == ((),)
    assert projected(told(), group.paths) == told()


def test_only_what_is_looked_at_is_told() -> None:
    paths = (("action", "name"), ("run",), ("missing", "part"))
    assert projected(told(), paths) == {"action": {"name": "node.drain"}, "run": {"labels": []}}


def test_rules_say_no_and_ask_for_people(rules: RegoRules) -> None:
    policy = set_of(RegoModule("drains", DRAINS))
    said = rules.judge(
        policy, [told(), told(labels=("secret",)), told(seconds=5), told("service.restart", ("secret",))]
    )
    denial = (Said("drains", "n1 is drained by a run that has read secrets"),)
    assert list(said) == [
        SILENCE,
        RuleOutcome(denial),
        RuleOutcome((), (Said("night", "at night"),)),
        SILENCE,
    ]
    assert list(rules.judge(policy, [told(labels=("secret",))])) == [RuleOutcome(denial)]


def test_many_modules_that_look_at_other_things_agree_with_each_by_itself(rules: RegoRules) -> None:
    bodies = (
        'input.action.name == "node.drain"',
        'input.run.labels[_] == "a"',
        "input.time.unix_seconds > 3",
        "input.q",
    )
    modules = [
        RegoModule(f"m{n}", f'package provost.rules.m{n}\n\ndeny contains "{n}" if {body}\n')
        for n, body in enumerate(bodies)
    ]
    inputs = [
        told(name, labels, at) for name in ("node.drain", "x") for labels in ((), ("a",)) for at in (1, 9)
    ]
    together = rules.judge(set_of(*modules), inputs)
    apart = [rules.judge(set_of(module), inputs) for module in modules]
    for n, said in enumerate(together):
        assert said.denied == tuple(each for one in apart for each in one[n].denied)
        assert not said.failed


@pytest.mark.parametrize(
    "body",
    ["to_number(input.action.name) == 1", "nobody_knows(input.action.name)"],
)
def test_what_cannot_be_evaluated_is_a_failure_and_never_silence(rules: RegoRules, body: str) -> None:
    policy = set_of(RegoModule("bad", f'package provost.rules.bad\n\ndeny contains "x" if {body}\n'))
    (said,) = rules.judge(policy, [told()])
    assert said.failed
    assert not said.denied


@pytest.mark.parametrize(
    "message", ["1", '{"id": "x"}', "null", '{"id": 4, "text": "y"}', r'{"id": "x\n", "text": "y"}']
)
def test_a_message_that_is_none_is_a_failure(rules: RegoRules, message: str) -> None:
    policy = set_of(RegoModule("odd", f"package provost.rules.odd\n\ndeny contains {message} if true\n"))
    (said,) = rules.judge(policy, [told()])
    assert "neither a text nor an object" in said.failed


TAKES_ALL_MEMORY = """package provost.rules.ends

deny contains "x" if count(numbers.range(1, 1000000000)) == input.time.unix_seconds
"""
TAKES_FOR_EVER = """package provost.rules.slow

deny contains "x" if {
    some i in numbers.range(1, 100000)
    some j in numbers.range(1, 100000)
    i * j == input.time.unix_seconds * 100003
}
"""


@pytest.mark.parametrize("module", [TAKES_ALL_MEMORY, TAKES_FOR_EVER])
def test_a_rule_that_takes_all_memory_or_for_ever_harms_nobody_else(rules: RegoRules, module: str) -> None:
    harmful = set_of(RegoModule("ends" if "ends" in module else "slow", module))
    fine = set_of(RegoModule("drains", DRAINS))
    (said,) = rules.judge(harmful, [told(labels=("boom",))])
    assert said.failed
    (again,) = rules.judge(harmful, [told(labels=("boom",))])
    assert again.failed, "it must not be tried again at once"
    assert list(rules.judge(fine, [told()])) == [SILENCE]


def test_a_child_that_somebody_has_killed_is_begun_again(rules: RegoRules) -> None:
    policy = set_of(RegoModule("drains", DRAINS))
    assert list(rules.judge(policy, [told()])) == [SILENCE]
    child = rules._child._process
    assert child is not None
    if (score := Path(f"/proc/{child.pid}/oom_score_adj")).exists():
        assert score.read_text("ascii") == "1000\n", "where memory is short it is the first to go"
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    (said,) = rules.judge(policy, [told(labels=("secret",))])
    assert not said.failed
    assert said.denied


async def test_others_go_on_while_the_rules_are_asked() -> None:
    rules, policy = RegoRules(), set_of(RegoModule("drains", DRAINS))
    inputs = [told(), told(labels=("secret",)), told()]
    hearing = asyncio.create_task(rules.hear(policy, inputs))
    for _ in range(3):
        await asyncio.sleep(0)
    assert not hearing.done()
    heard = await hearing
    assert any(said.denied for said in heard)
    assert list(await rules.hear(policy, inputs)) == list(heard)
    await rules.stop()
    apart = RegoRules()
    assert list(apart.judge(policy, inputs)) == list(heard)
    apart.end()


def test_a_sets_memory_goes_with_it(rules: RegoRules) -> None:
    policy = set_of(RegoModule("drains", DRAINS))
    rules.judge(policy, [told()])
    assert len(rules._plans) == 1
    del policy
    assert len(rules._plans) == 0


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


def test_many_sets_hold_no_more_than_those_that_are_kept() -> None:
    child = Child()
    sizes = []
    try:
        for n in range(90):
            modules = {
                f"m{n}.rego": f"package m{n}\n\n" + "\n".join(f"r{k} := input.x[{k}]" for k in range(1500))
            }
            assert "failed" not in child.ask(
                {"do": "load", "key": str(n), "modules": modules, "path": f"m{n}"}, 30.0
            )
            assert child._process is not None
            sizes.append(_resident_megabytes(child._process.pid))
    finally:
        child.end()
    assert sizes[-1] < 2 * sizes[40], sizes


def _resident_megabytes(pid: int) -> float:
    return (
        int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1024**2
    )


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


async def test_the_child_ends_with_whoever_asked_it_though_it_is_busy() -> None:
    asks = (
        "from services.policy.adapters.rego.rules import RegoRules; from tests.unit.policy.test_rego import *;"
        "from services.policy.adapters.rego import child; start = child.Child._start\n"
        "def told_of(of):\n  made = start(of); print(made.pid, flush=True); return made\n"
        "child.Child._start = told_of\n"
        "RegoRules().examine([RegoModule('drains', DRAINS, SLOW_TEST_ALONE)])"
    )
    asking = await asyncio.create_subprocess_exec(sys.executable, "-c", asks, stdout=subprocess.PIPE)
    assert asking.stdout is not None
    try:
        pid = int(await asking.stdout.readline())
        await until(lambda: _cpu(pid) > 0.5, "it never began")
    finally:
        asking.kill()
        await asking.wait()
    await until(lambda: not _lives(pid), "it goes on, and nobody waits for it")


def _stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text("ascii").rsplit(")", 1)[1].split()


def _cpu(pid: int) -> float:
    return int(_stat(pid)[11]) / os.sysconf("SC_CLK_TCK")


def _lives(pid: int) -> bool:
    try:
        return _stat(pid)[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


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


def test_a_string_that_is_never_closed_is_read_once() -> None:
    began = process_time()
    assert read_module("package provost.rules.x\n" + '\\"' * 99_000).tests == ()
    assert process_time() - began < 5, "it takes hundredths of a second"
