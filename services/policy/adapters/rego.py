"""Custom rules of policy sets, evaluated by a child process; what was answered is remembered.

What repeats itself costs no more than looking it up, and what is new carries no more to the interpreter than is looked
at: see `rego_plan`.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from weakref import WeakKeyDictionary

from chassis import process
from chassis.telemetry import get_logger
from services.policy.adapters.rego_child import Child, ChildGone
from services.policy.adapters.rego_examining import examine
from services.policy.adapters.rego_hearing import Ask, Hearing, Told
from services.policy.adapters.rego_plan import ALL, Group, Plan, Word, loading, plan_of, projected
from services.policy.domain.policyset import PolicySet
from services.policy.domain.policyset_rules import RegoModule
from services.policy.domain.policyset_tests import Examined
from services.policy.domain.rego_misread import why_unreadable
from services.policy.domain.rego_spelling import read_back, spelled
from services.policy.domain.rules import SILENCE, RuleOutcome, Said
from services.policy.ports.sets import GivenUp

LOAD_SECONDS = 2.0
JUDGE_SECONDS = 0.25
JUDGE_SECONDS_EACH = 0.005
REST_SECONDS = 5.0
CALL_COSTS = 1.3
"""What one more call of the interpreter costs, in modules evaluated."""

_log = get_logger("policy.rules")


class RegoRules:
    """Implements `Rules`. Its child is asked one thing at a time: either by `judge`, by one thread, or by `hear`."""

    def __init__(self, given_up: GivenUp = lambda: False) -> None:
        self._child = Child(given_up)
        self._plans: WeakKeyDictionary[PolicySet, Plan] = WeakKeyDictionary()
        self._apart = ThreadPoolExecutor(1, "custom rules")

    def judge(self, policy_set: PolicySet, inputs: Sequence[Mapping[str, Any]]) -> Sequence[RuleOutcome]:
        """What the rules say to each of `inputs`."""
        if not policy_set.rules.rego:
            return [SILENCE] * len(inputs)
        plan = self._plan(policy_set)
        hearing = Hearing(plan, inputs)
        for asks in hearing.asks():
            hearing.learn(asks, self._answers(plan, asks))
        return hearing.outcomes()

    async def hear(self, policy_set: PolicySet, inputs: Sequence[Mapping[str, Any]]) -> Sequence[RuleOutcome]:
        """As `judge`; others go on while the child is asked."""
        if not policy_set.rules.rego:
            return [SILENCE] * len(inputs)
        plan = self._plan(policy_set)
        hearing = Hearing(plan, inputs)
        for asks in hearing.asks():
            loop = asyncio.get_running_loop()
            hearing.learn(asks, await loop.run_in_executor(self._apart, self._answers, plan, asks))
        return hearing.outcomes()

    def examine(self, rego: Sequence[RegoModule], given_up: GivenUp = lambda: False) -> Examined:
        """What is wrong with these modules, and how their tests come out; in a child of its own."""
        return examine(rego, given_up)

    def rehearse(
        self, policy_set: PolicySet, inputs: Sequence[Mapping[str, Any]], given_up: GivenUp = lambda: False
    ) -> Sequence[RuleOutcome]:
        """As `judge`, with a child of its own."""
        apart = RegoRules(given_up)
        try:
            return apart.judge(policy_set, inputs)
        finally:
            apart.end()

    def end(self) -> None:
        """End the child."""
        self._child.end()

    async def stop(self) -> None:
        """End the child, once it has answered what it was asked."""
        await asyncio.get_running_loop().run_in_executor(self._apart, self.end)
        self._apart.shutdown()

    def _plan(self, policy_set: PolicySet) -> Plan:
        plan = self._plans.get(policy_set)
        if plan is None:
            plan = self._plans[policy_set] = plan_of(policy_set.rules.rego)
        return plan

    def _answers(self, plan: Plan, asks: Sequence[Ask]) -> list[list[Told]]:
        """For each of `asks` and each of its groups: what is said, or why nothing."""
        whys = [[_why_not(plan.groups[n], ask.value) for n in ask.groups] for ask in asks]
        good = [
            ask._replace(groups=[n for n, why in zip(ask.groups, of_ask, strict=True) if not why])
            for ask, of_ask in zip(asks, whys, strict=True)
        ]
        told = iter(self._told(plan, [ask for ask in good if ask.groups]))
        found: list[list[Told]] = []
        for ask, of_ask in zip(good, whys, strict=True):
            said = iter(next(told) if ask.groups else ())
            found.append([why or next(said) for why in of_ask])
        return found

    def _told(self, plan: Plan, asks: Sequence[Ask]) -> list[list[Told]]:
        if not asks:
            return []
        if process.monotonic() < plan.resting_until:
            return [[plan.why_resting] * len(ask.groups) for ask in asks]
        asked = [_asked(plan, ask.value, ask.groups) for ask in asks]
        try:
            answer = self._ask(plan, asked)
        except ChildGone as gone:
            plan.resting_until = process.monotonic() + REST_SECONDS
            plan.why_resting = f"the rules could not be evaluated: {gone}"
            _log.error("custom rules not evaluated", rules=list(plan.ids), problem=str(gone))
            return [[plan.why_resting] * len(ask.groups) for ask in asks]
        if "answers" not in answer:
            return [[str(answer.get("failed", "no answer"))] * len(ask.groups) for ask in asks]
        return [
            [_words(plan, *each) for each in _by_group(ask.groups, said)]
            for ask, said in zip(asks, answer["answers"], strict=True)
        ]

    def _ask(self, plan: Plan, told: Sequence[tuple[Mapping[str, Any], list[str]]]) -> dict[str, Any]:
        seconds = JUDGE_SECONDS + JUDGE_SECONDS_EACH * len(told)
        asked = {"do": "judge", "key": plan.key, "asks": told}
        answer = self._child.ask(asked, seconds)
        if "unknown" not in answer:
            return answer
        loaded = self._child.ask(loading(plan), LOAD_SECONDS)
        if "failed" in loaded:
            return loaded
        if loaded["missing"]:
            return {"failed": f"nobody knows {', '.join(loaded['missing'])}"}
        return self._child.ask(asked, seconds)


def _asked(
    plan: Plan, value: Mapping[str, Any], groups: Sequence[int]
) -> tuple[Mapping[str, Any], list[str]]:
    """An input and what to ask of it: all groups at once where that costs less than each by itself."""
    asked = sum(len(plan.groups[n].modules) for n in groups)
    if (len(groups) - 1) * CALL_COSTS > len(plan.ids) - asked:
        paths, entrypoints = [path for group in plan.groups for path in group.paths], [ALL]
    else:
        paths = [path for n in groups for path in plan.groups[n].paths]
        entrypoints = [plan.groups[n].entrypoint for n in groups]
    return spelled(projected(value, paths)), entrypoints


def _why_not(group: Group, value: Mapping[str, Any]) -> str:
    """Why it cannot be asked about this; empty when it can."""
    return group.flaw or why_unreadable(projected(value, group.paths), group.misread)


def _by_group(groups: Sequence[int], said: list[tuple[bool, Any]]) -> Iterator[tuple[bool, Any]]:
    if len(groups) == len(said):
        yield from said
        return
    good, value = said[0]
    for n in groups:
        yield good, value[n] if good and isinstance(value, list) else value


def _words(plan: Plan, good: bool, value: Any) -> Told:
    value = read_back(value)
    if not good:
        return str(value)
    if not isinstance(value, list):
        return "it says nothing where it should say something"
    try:
        return tuple(_spoken(plan, value))
    except ValueError as problem:
        return str(problem)


def _spoken(plan: Plan, value: list[Any]) -> Iterator[Word]:
    for place, kind, messages in value:
        if not isinstance(messages, list):
            raise ValueError(f"{kind} of {plan.ids[place]} is no set of messages")
        for message in messages:
            yield Word(place, kind, Said.of(message, plan.ids[place]))
