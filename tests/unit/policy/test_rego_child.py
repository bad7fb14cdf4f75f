"""The process that evaluates custom rules: limited, ended, and begun again."""

import asyncio
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from services.policy.adapters.rego.child import Child, ChildGone
from services.policy.adapters.rego.rules import RegoRules
from services.policy.domain.policyset_rules import RegoModule
from services.policy.domain.rules import SILENCE
from tests.fakes.wait import until
from tests.unit.policy.rego_words import (
    DRAINS,
    TAKES_FOR_EVER,
    set_of,
    told,
)

TAKES_ALL_MEMORY = """package provost.rules.ends

deny contains "x" if count(numbers.range(1, 1000000000)) == input.time.unix_seconds
"""


@pytest.mark.parametrize("module", [TAKES_ALL_MEMORY, TAKES_FOR_EVER])
def test_a_rule_that_takes_all_memory_or_for_ever_harms_nobody_else(
    rules: RegoRules, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    harmful = set_of(RegoModule("ends" if "ends" in module else "slow", module))
    fine = set_of(RegoModule("drains", DRAINS))
    (said,) = rules.judge(harmful, [told(labels=("boom",))])
    assert said.failed
    with monkeypatch.context() as untried:
        untried.setattr(rules, "_ask", None)
        (again,) = rules.judge(harmful, [told(labels=("boom",))])
    assert again == said, "it must not be tried again at once"
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


async def test_the_child_ends_with_whoever_asked_it_though_it_is_busy() -> None:
    asks = (
        "from services.policy.adapters.rego.rules import RegoRules; from tests.unit.policy.rego_words import *;"
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


def test_it_has_a_gibibyte_and_can_open_nothing(rules: RegoRules) -> None:
    rules.judge(set_of(RegoModule("drains", DRAINS)), [told()])
    assert rules._child._process is not None
    pid = rules._child._process.pid
    assert resource.prlimit(pid, resource.RLIMIT_DATA) == (1024**3, 1024**3)
    assert resource.prlimit(pid, resource.RLIMIT_NOFILE) == (0, 0)


def test_it_ends_itself_with_a_question_that_nobody_waits_for() -> None:
    child = Child()
    modules = {"m.rego": TAKES_FOR_EVER.replace("input.time.unix_seconds", "1")}
    try:
        with pytest.raises(ChildGone, match="ended itself"):
            child.ask({"do": "load", "key": "k", "modules": modules, "path": "provost.rules.slow.deny"}, 0.1)
    finally:
        child.end()


def test_what_cannot_be_compiled_is_not_kept_and_what_fails_when_asked_is() -> None:
    child = Child()

    def loaded(body: str) -> dict[str, Any]:
        modules = {"m.rego": f"package m\n\n{body}\n"}
        return child.ask({"do": "load", "key": body, "modules": modules, "path": "m.x"}, 30.0)

    def said(body: str) -> dict[str, Any]:
        return child.ask({"do": "judge", "key": body, "inputs": [{}]}, 30.0)

    by_zero = "div: divide by zero"
    try:
        assert loaded("x := y")["flaws"] == [["m.rego", 3, 0, "var y is unsafe"]]
        assert said("x := y") == {"unknown": True}
        for body, answer in (
            ("x if input.q", [True, None]),
            ("x := 1 / 0", [False, {"failed": by_zero, "flaws": [["m.rego", 3, 0, by_zero]]}]),
        ):
            assert "failed" not in loaded(body)
            assert said(body)["answers"] == [answer]
    finally:
        child.end()


def test_what_is_asked_together_is_answered_as_one_by_one() -> None:
    """Also what says nothing to some, or fails for some."""
    child = Child()
    modules = {
        "m.rego": "package m\n\nx := 10 / input.by if input.by < 5\n\n"
        "all := [each | some one in input.inputs; each := x with input as one]\n"
    }
    try:
        for key, together in (("apart", ""), ("together", "m.all")):
            load = {"do": "load", "key": key, "modules": modules, "path": "m.x", "together": together}
            assert "failed" not in child.ask(load, 30.0)
        for values in ([1, 2], [2, 7, 1], [1, 0, 7], [7], [0], []):
            apart, together = (
                child.ask({"do": "judge", "key": key, "inputs": [{"by": by} for by in values]}, 30.0)[
                    "answers"
                ]
                for key in ("apart", "together")
            )
            assert together == apart
            assert [good for good, _ in apart] == [by != 0 for by in values]
    finally:
        child.end()


def test_it_knows_nothing_of_our_environment(rules: RegoRules, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROVOST_INTERNAL_KEY", "a secret")
    rules.judge(set_of(RegoModule("drains", DRAINS)), [told()])
    assert rules._child._process is not None
    environment = Path(f"/proc/{rules._child._process.pid}/environ")
    assert environment.read_bytes() == b"LANG=C.UTF-8\0"


def test_one_that_cannot_be_begun_is_a_failure(rules: RegoRules, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    (said,) = rules.judge(set_of(RegoModule("drains", DRAINS)), [told()])
    assert "No such file" in said.failed
