"""Custom rules of policy sets, evaluated by a child process; what was answered is remembered.

What repeats itself costs no more than looking it up, and what is new carries no more to the interpreter than is looked
at: see `plan`.
"""

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from weakref import WeakKeyDictionary

from chassis import process
from chassis.telemetry import get_logger
from services.policy.adapters.rego.child import Child, ChildGone, why
from services.policy.adapters.rego.examining import examine
from services.policy.adapters.rego.hearing import Ask, Hearing, Told
from services.policy.adapters.rego.plan import Group, Plan, Word, asking, loading, plan_of, projected
from services.policy.domain.policyset import PolicySet
from services.policy.domain.policyset_rules import RegoModule
from services.policy.domain.policyset_tests import Examined
from services.policy.domain.rules import SILENCE, RuleOutcome, Said
from services.policy.ports.sets import GivenUp

LOAD_SECONDS = 5.0
JUDGE_SECONDS = 0.25
JUDGE_SECONDS_EACH = 0.005
REST_SECONDS = 5.0

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
        if process.monotonic() < plan.resting_until:
            return [[plan.why_resting] * len(ask.groups) for ask in asks]
        inputs = [projected(ask.value, plan.paths) for ask in asks]
        try:
            answer = self._ask(plan, inputs)
        except ChildGone as gone:
            plan.resting_until = process.monotonic() + REST_SECONDS
            plan.why_resting = str(gone)
            _log.error("custom rules not evaluated", rules=list(plan.ids), problem=str(gone))
            return [[plan.why_resting] * len(ask.groups) for ask in asks]
        if "answers" not in answer:
            return [[why(answer)] * len(ask.groups) for ask in asks]
        return [_told(plan, ask, *said) for ask, said in zip(asks, answer["answers"], strict=True)]

    def _ask(self, plan: Plan, inputs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        seconds = JUDGE_SECONDS + JUDGE_SECONDS_EACH * len(inputs)
        asked = asking(plan, inputs)
        answer = self._child.ask(asked, seconds)
        if "unknown" not in answer:
            return answer
        loaded = self._child.ask(loading(plan), LOAD_SECONDS)
        return loaded if "failed" in loaded else self._child.ask(asked, seconds)


def _told(plan: Plan, ask: Ask, good: bool, said: Any) -> list[Told]:
    """For each group that was asked, out of what all have said; all of it failed if any of it did."""
    if not good:
        return [why(said)] * len(ask.groups)
    if said is None:
        return ["a rule says nothing where it should say something"] * len(ask.groups)
    return [_words(plan, plan.groups[n], said[n]) for n in ask.groups]


def _words(plan: Plan, group: Group, said: Sequence[Any]) -> Told:
    words: list[Word] = []
    for (place, kind), messages in zip(group.speakers, said, strict=True):
        if not isinstance(messages, list):
            return f"{kind} of {plan.ids[place]} is no set of messages"
        try:
            words += [Word(place, kind, Said.of(message, plan.ids[place])) for message in messages]
        except ValueError as problem:
            return str(problem)
    return tuple(words)
