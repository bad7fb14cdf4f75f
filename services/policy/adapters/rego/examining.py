"""Looks custom rules over before they go live: what is wrong with them, and how their own tests come out.

In a child process of its own, so that nothing that is being decided waits for it or dies of it; and within one time for
all of a set, for anybody may have sets looked over.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from chassis import process
from services.policy.adapters.rego.child import Child, ChildGone, why
from services.policy.adapters.rego.plan import ASKING, asking, loading, plan_of
from services.policy.domain.action import Action, Mode, Packet, RunContext
from services.policy.domain.agent import Agent
from services.policy.domain.policyset_rules import RegoModule
from services.policy.domain.policyset_tests import Examined, RuleFlaw, TestOutcome
from services.policy.domain.rego_silence import silences
from services.policy.domain.rego_text import ModuleText, read_module
from services.policy.domain.rules import rule_input
from services.policy.domain.tier import Tier
from services.policy.ports.sets import GivenUp

SECONDS = 5.0
SECONDS_IN_ALL = 30.0
PASSED = "provost.ask.passed"
MOST_LOAD_SECONDS, MOST_SECONDS = 3.0, 0.25
"""Of a processor, to compile a set and for one question: what takes longer would not be waited for."""

_NAMED = re.compile(r"\b(?:var|function) ([\w.]+)")
_SAMPLE = rule_input(
    Action("", "sample", "sample", "sandbox", {"sample": "1"}),
    RunContext("sample", "sample", "sample", Mode.AUTO, steps_done=("PLAN",)),
    Agent("sample", Tier.T0_OBSERVER, "1"),
    Packet("sample", "sample", scope=("*",), forbidden=("sample",)),
    ("sample",),
    1_700_000_000,
)


class Examining:
    """A child that is asked about one set, and no longer than there is time for the whole of it."""

    def __init__(self, given_up: GivenUp) -> None:
        self._child = Child(given_up)
        self._given_up = given_up
        self._until = process.monotonic() + SECONDS_IN_ALL

    def ask(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Its answer.

        Raises:
            ChildGone: it died of the question, did not answer in time, or there is no time left or nobody who waits.
        """
        left = self._until - process.monotonic()
        if left <= 0:
            raise ChildGone(f"all rules and their tests together took longer than {SECONDS_IN_ALL:.0f} s")
        if self._given_up():
            raise ChildGone("nobody waits for it any more")
        return self._child.ask(asked, min(left, SECONDS))

    def end(self) -> None:
        """End the child."""
        self._child.end()


def examine(rego: Sequence[RegoModule], given_up: GivenUp = lambda: False) -> Examined:
    """What is wrong with these modules; how their tests come out, if nothing is."""
    if not rego:
        return Examined()
    flaws = tuple(sorted(_by_text(rego), key=_place))
    if flaws:
        return Examined(flaws)
    child = Examining(given_up)
    try:
        flaws = tuple(_by_engine(child, rego))
        return Examined(flaws) if flaws else Examined((), tuple(_tested(child, rego)))
    finally:
        child.end()


def _place(flaw: RuleFlaw) -> tuple[int, str, int, int]:
    return int(flaw.path.split("/")[1]), flaw.path, flaw.line, flaw.column


def _by_text(rego: Sequence[RegoModule]) -> Iterator[RuleFlaw]:
    for n, module in enumerate(rego):
        path = f"rules/{n}/rego"
        text = read_module(module.text)
        yield from _flaws_of(text, path, f"provost.rules.{module.id}")
        if module.test:
            tests = read_module(module.test, test=True)
            yield from _flaws_of(tests, f"rules/{n}/test", f"provost.rules.{module.id}_test")
            if not tests.tests:
                yield RuleFlaw(f"rules/{n}/test", 1, 1, "there is no test in it: a rule named `test_…`")
    yield from silences(rego)


def _flaws_of(text: ModuleText, path: str, package: str) -> Iterator[RuleFlaw]:
    if text.package != package:
        yield RuleFlaw(path, 1, 1, f"must begin with `package {package}`")
    for flaw in text.flaws:
        yield RuleFlaw(path, flaw.line, flaw.column, flaw.text)


def _by_engine(child: Examining, rego: Sequence[RegoModule]) -> Iterator[RuleFlaw]:
    plan = plan_of(rego)
    try:
        loaded = child.ask(loading(plan))
        if "failed" in loaded:
            yield from _flaws_in(loaded, rego)
            return
        answer = child.ask(asking(plan, [_SAMPLE]))
    except ChildGone as gone:
        yield RuleFlaw("rules", 0, 0, f"the rules cannot be evaluated: {gone}")
        return
    ((good, said),) = answer["answers"]
    if not good:
        yield from _flaws_in(said, rego)
    elif said is None:
        yield RuleFlaw("rules", 0, 0, "a rule says nothing where it should say something")
    for what, seconds, most in (
        ("to be compiled they take", loaded["cpu_seconds"], MOST_LOAD_SECONDS),
        ("one question takes", answer["cpu_seconds"], MOST_SECONDS),
    ):
        if seconds > most:
            yield RuleFlaw("rules", 0, 0, f"{what} {seconds:.1f} s of a processor: at most {most} s")


def _flaws_in(failed: dict[str, Any], rego: Sequence[RegoModule]) -> Iterator[RuleFlaw]:
    """What OPA says is wrong, where it says so."""
    files = {f"{module.id}.rego": n for n, module in enumerate(rego)}
    found = [flaw for flaw in failed["flaws"] if flaw[0] in files]
    for file, line, column, text in found:
        written = "".join(rego[files[file]].text.split("\n")[line - 1 : line])
        yield RuleFlaw(f"rules/{files[file]}/rego", line, column or _column(written, text), text)
    if not found:
        yield RuleFlaw("rules", 0, 0, failed["failed"])


def _column(line: str, text: str) -> int:
    """Of what a mistake names, which is told by its line alone, or of the first thing in that."""
    named = _NAMED.search(text)
    at = line.find(named[1]) if named else -1
    return 1 + (at if at >= 0 else len(line) - len(line.lstrip()))


def _tested(child: Examining, rego: Sequence[RegoModule]) -> Iterator[TestOutcome]:
    found: list[tuple[str, str, str]] = []
    for n, module in enumerate(rego):
        own = read_module(module.text).tests
        tests = read_module(module.test, test=True).tests if module.test else ()
        for package, names, part in ((module.id, own, "rego"), (f"{module.id}_test", tests, "test")):
            found += [
                (f"{module.id}.{name}", f"rules/{n}/{part}", f"provost.rules.{package}.{name}")
                for name in names
            ]
    if not found:
        return
    testing = _Testing(child, rego, [rule for _, _, rule in found])
    together = testing.passed([rule for _, _, rule in found])
    for name, path, rule in found:
        # Where one of them fails or takes too long, each is asked by itself.
        passed, why_not = testing.passed([rule]) if together[1] else together
        holds = rule in passed
        yield TestOutcome(name, path, holds, "" if holds else why_not or "it does not hold")


class _Testing:
    """All tests of a set, compiled together: once, and again after one of which the child died."""

    def __init__(self, child: Examining, rego: Sequence[RegoModule], rules: Sequence[str]) -> None:
        self._child = child
        modules = {f"{each.id}.rego": each.text for each in rego}
        modules |= {f"{each.id}_test.rego": each.test for each in rego if each.test}
        lines = [
            f'passed contains "{rule}" if {{\n\t"{rule}" in input.asked\n\tdata.{rule} == true with input as {{}}\n}}'
            for rule in rules
        ]
        modules[ASKING] = "\n\n".join(["package provost.ask", *lines])
        self._load = {"do": "load", "key": "test", "modules": modules, "path": PASSED}
        self._no_use = ""

    def passed(self, rules: Sequence[str]) -> tuple[frozenset[str], str]:
        """Those of these that hold, or why they could not be asked."""
        asked = {"do": "judge", "key": "test", "inputs": [{"asked": rules}]}
        try:
            answer = self._ask(asked)
            if "unknown" in answer:
                self._no_use = self._compiled()
                answer = self._ask(asked)
        except ChildGone as gone:
            return frozenset(), f"it cannot be evaluated: {gone}"
        if "failed" in answer:
            return frozenset(), why(answer)[:300]
        ((good, said),) = answer["answers"]
        return (frozenset(said), "") if good else (frozenset(), why(said)[:300])

    def _ask(self, asked: dict[str, Any]) -> dict[str, Any]:
        return {"failed": self._no_use} if self._no_use else self._child.ask(asked)

    def _compiled(self) -> str:
        """Why they cannot be, if they cannot: what stops one test stops the others."""
        try:
            answer = self._child.ask(self._load)
        except ChildGone as gone:
            return f"it cannot be evaluated: {gone}"
        return why(answer) if "failed" in answer else ""
