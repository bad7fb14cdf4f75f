"""Looks custom rules over before they go live: what is wrong with them, and how their own tests come out.

In a child process of its own, so that nothing that is being decided waits for it or dies of it; and within one time for
all of a set, for anybody may have sets looked over.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from chassis import process
from services.policy.adapters.rego.child import Child, ChildGone, why
from services.policy.adapters.rego.plan import loading, plan_of
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
    load, modules = loading(plan), dict(plan.modules)
    try:
        while "failed" in (loaded := child.ask(load | {"modules": modules})):
            yield _flaw_at(loaded, rego)
            if modules.pop(loaded["place"][0], None) is None:  # else: what is wrong with the others?
                return
        if len(modules) < len(plan.modules):
            return
        asked = {"do": "judge", "key": plan.key, "asks": [(_SAMPLE, list(range(len(plan.speakers))))]}
        said = child.ask(asked)["answers"][0]
        yield from dict.fromkeys(_flaw_at(value, rego) for good, value in said if not good)
    except ChildGone as gone:
        yield RuleFlaw("rules", 0, 0, f"the rules cannot be evaluated: {gone}")


def _flaw_at(failed: dict[str, Any], rego: Sequence[RegoModule]) -> RuleFlaw:
    """What the interpreter says is wrong, where it says so."""
    file, line, column = failed["place"]
    n = next((n for n, module in enumerate(rego) if f"{module.id}.rego" == file), None)
    if n is None:
        return RuleFlaw("rules", 0, 0, failed["failed"])
    return RuleFlaw(f"rules/{n}/rego", line, column, failed["failed"])


def _tested(child: Examining, rego: Sequence[RegoModule]) -> Iterator[TestOutcome]:
    found: list[tuple[str, str, str]] = []
    for n, module in enumerate(rego):
        own = read_module(module.text).tests
        tests = read_module(module.test, test=True).tests if module.test else ()
        for package, names, part in ((module.id, own, "rego"), (f"{module.id}_test", tests, "test")):
            for name in names:
                path = f"rules/{n}/{part}"
                found.append((f"{module.id}.{name}", path, f"data.provost.rules.{package}.{name}"))
    testing = _Testing(child, rego, [rule for _, _, rule in found])
    for n, (name, path, _) in enumerate(found):
        passed, text = testing.holds(n)
        yield TestOutcome(name, path, passed, text)


class _Testing:
    """All tests of a set, compiled together: once, and again after one of which the child died."""

    def __init__(self, child: Examining, rego: Sequence[RegoModule], rules: list[str]) -> None:
        self._child = child
        modules = {f"{each.id}.rego": each.text for each in rego}
        modules |= {f"{each.id}_test.rego": each.test for each in rego if each.test}
        self._load = {"do": "load", "key": "test", "modules": modules, "rules": rules}
        self._no_use = ""

    def holds(self, n: int) -> tuple[bool, str]:
        """Whether the test at this place does; why not, if it does not."""
        asked: dict[str, Any] = {"do": "judge", "key": "test", "asks": [({}, [n])]}
        try:
            answer = self._asked(asked)
            if "unknown" in answer:
                self._no_use = self._compiled()
                answer = self._asked(asked)
        except ChildGone as gone:
            return False, f"it cannot be evaluated: {gone}"
        if "failed" in answer:
            return False, why(answer)[:300]
        good, value = answer["answers"][0][0]
        if not good:
            return False, why(value)[:300]
        return value is True, "" if value is True else "it does not hold"

    def _asked(self, asked: dict[str, Any]) -> dict[str, Any]:
        return {"failed": self._no_use} if self._no_use else self._child.ask(asked)

    def _compiled(self) -> str:
        """Why they cannot be, if they cannot: what stops one test stops the others."""
        try:
            answer = self._child.ask(self._load)
        except ChildGone as gone:
            return f"it cannot be evaluated: {gone}"
        return why(answer) if "failed" in answer else ""
