"""Looks custom rules over before they go live: what is wrong with them, and how their own tests come out.

In a child process of its own, so that nothing that is being decided waits for it or dies of it.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from services.policy.adapters.rego_child import Child, ChildGone
from services.policy.adapters.rego_plan import loading, plan_of
from services.policy.domain.action import Action, Mode, Packet, RunContext
from services.policy.domain.agent import Agent
from services.policy.domain.policyset_rules import RegoModule
from services.policy.domain.policyset_tests import Examined, RuleFlaw, TestOutcome
from services.policy.domain.rego_silence import silences
from services.policy.domain.rego_text import ModuleText, read_module, with_input_at
from services.policy.domain.rules import rule_input
from services.policy.domain.tier import Tier

SECONDS = 5.0

_ERROR = re.compile(
    r"\(error(?: \d+:(?P<file>[^|\s]+)\|(?P<offset>\d+)\|\d+)?\s*\(errormsg \d+:(?P<text>[^\n]*?)\)\n"
)
_SAMPLE = rule_input(
    Action("", "sample", "sample", "sandbox", {"sample": "1"}),
    RunContext("sample", "sample", "sample", Mode.AUTO, steps_done=("PLAN",)),
    Agent("sample", Tier.T0_OBSERVER, "1"),
    Packet("sample", "sample", scope=("*",), forbidden=("sample",)),
    ("sample",),
    1_700_000_000,
)


def examine(rego: Sequence[RegoModule]) -> Examined:
    """What is wrong with these modules; how their tests come out, if nothing is."""
    if not rego:
        return Examined()
    flaws = tuple(_by_text(rego))
    if flaws:
        return Examined(flaws)
    child = Child()
    try:
        flaws = tuple(_by_engine(child, rego))
        return Examined(flaws) if flaws else Examined((), tuple(_tested(child, rego)))
    finally:
        child.end()


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


def _by_engine(child: Child, rego: Sequence[RegoModule]) -> Iterator[RuleFlaw]:
    plan = plan_of(rego)
    try:
        loaded = child.ask(loading(plan), SECONDS)
        if "failed" in loaded:
            yield from _errors(loaded["failed"], rego)
            return
        yield from _missing(loaded["missing"], rego)
        if loaded["missing"]:
            return
        for group in plan.groups:
            asked = {"do": "judge", "key": plan.key, "asks": [(_SAMPLE, [group.entrypoint])]}
            good, value = child.ask(asked, SECONDS)["answers"][0][0]
            if not good:
                whose = min(group.modules)
                found = list(_errors(value, rego))
                yield RuleFlaw(f"rules/{whose}/rego", 1, 1, found[0].text if found else "cannot be evaluated")
    except ChildGone as gone:
        yield RuleFlaw("rules", 0, 0, f"the rules cannot be evaluated: {gone}")


def _errors(said: str, rego: Sequence[RegoModule]) -> Iterator[RuleFlaw]:
    """What the interpreter says is wrong, each once for a place."""
    seen: set[tuple[str, str]] = set()
    for error in _ERROR.finditer(said):
        file, text = error["file"] or "", error["text"]
        name, offset = file.removesuffix(".rego"), int(error["offset"] or 0)
        n = next((n for n, module in enumerate(rego) if module.id == name), None)
        if (file, text) in seen:
            continue
        seen.add((file, text))
        if n is None:
            yield RuleFlaw("rules", 0, 0, text)
        else:
            before = rego[n].text.encode()[:offset].decode("utf-8", "replace")
            yield RuleFlaw(f"rules/{n}/rego", before.count("\n") + 1, len(before) - before.rfind("\n"), text)
    if not seen:
        yield RuleFlaw("rules", 0, 0, said.splitlines()[0][:300] if said else "cannot be evaluated")


def _missing(functions: Sequence[str], rego: Sequence[RegoModule]) -> Iterator[RuleFlaw]:
    for n, module in enumerate(rego):
        for name, line, column in read_module(module.text).calls:
            if name in functions:
                yield RuleFlaw(f"rules/{n}/rego", line, column, f"there is no function {name} here")


def _tested(child: Child, rego: Sequence[RegoModule]) -> Iterator[TestOutcome]:
    for n, module in enumerate(rego):
        own = read_module(module.text).tests
        tests = read_module(module.test, test=True).tests if module.test else ()
        for package, names, part in ((module.id, own, "rego"), (f"{module.id}_test", tests, "test")):
            for name in names:
                passed, text = _holds(child, rego, f"provost/rules/{package}/{name}")
                yield TestOutcome(f"{module.id}.{name}", f"rules/{n}/{part}", passed, text)


def _holds(child: Child, rego: Sequence[RegoModule], entrypoint: str) -> tuple[bool, str]:
    # The engine ends itself on `with input as …`, and not on `with input.given as …`.
    modules = {f"{each.id}.rego": with_input_at(each.text, "given") for each in rego}
    modules |= {f"{each.id}_test.rego": with_input_at(each.test, "given") for each in rego if each.test}
    asked: list[dict[str, Any]] = [
        {"do": "load", "key": "test", "modules": modules, "entrypoints": [entrypoint], "functions": []},
        {"do": "judge", "key": "test", "asks": [({"given": {}}, [entrypoint])]},
    ]
    try:
        for each in asked:
            answer = child.ask(each, SECONDS)
            if "failed" in answer:
                return False, str(answer["failed"]).splitlines()[0][:300]
        good, value = answer["answers"][0][0]
    except ChildGone as gone:
        return False, f"it cannot be evaluated: {gone}"
    if not good:
        return False, str(value)[:300]
    return value is True, "" if value is True else "it does not hold"
