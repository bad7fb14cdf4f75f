"""Custom rules of policy sets, evaluated by a child process; what was answered is remembered.

What repeats itself costs no more than looking it up, and what is new carries no more to the interpreter than is looked
at: see `rego_plan`.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from chassis import process
from chassis.telemetry import get_logger
from services.policy.adapters.rego_child import Child, ChildGone
from services.policy.adapters.rego_examining import examine
from services.policy.adapters.rego_plan import ALL, Plan, Word, loading, plan_of, projected
from services.policy.domain.policyset import PolicySet
from services.policy.domain.policyset_rules import RegoModule
from services.policy.domain.policyset_tests import Examined
from services.policy.domain.rules import SILENCE, RuleOutcome, Said

LOAD_SECONDS = 2.0
JUDGE_SECONDS = 0.25
JUDGE_SECONDS_EACH = 0.005
ASKED_TOGETHER = 200
REST_SECONDS = 5.0
CALL_COSTS = 1.3
"""What one more call of the interpreter costs, in modules evaluated."""

_log = get_logger("policy.rules")


class RegoRules:
    """Implements `Rules`. To be asked by one thread."""

    def __init__(self) -> None:
        self._child = Child()
        self._plans: WeakKeyDictionary[PolicySet, Plan] = WeakKeyDictionary()

    def judge(self, policy_set: PolicySet, inputs: Sequence[Mapping[str, Any]]) -> Sequence[RuleOutcome]:
        """What the rules say to each of `inputs`."""
        if not policy_set.rules.rego:
            return [SILENCE] * len(inputs)
        plan = self._plans.get(policy_set)
        if plan is None:
            plan = self._plans[policy_set] = plan_of(policy_set.rules.rego)
        keys = [
            ["" if group.silent(value) else group.key(value) for group in plan.groups] for value in inputs
        ]
        failed = self._learn(plan, inputs, keys)
        return [self._outcome(plan, of_input, failed) for of_input in keys]

    def examine(self, rego: Sequence[RegoModule]) -> Examined:
        """What is wrong with these modules, and how their tests come out; in a child of its own."""
        return examine(rego)

    def rehearse(self, policy_set: PolicySet, inputs: Sequence[Mapping[str, Any]]) -> Sequence[RuleOutcome]:
        """As `judge`, with a child of its own."""
        apart = RegoRules()
        try:
            return apart.judge(policy_set, inputs)
        finally:
            apart.end()

    def end(self) -> None:
        """End the child."""
        self._child.end()

    async def stop(self) -> None:
        """End the child."""
        self.end()

    def _learn(
        self, plan: Plan, inputs: Sequence[Mapping[str, Any]], keys: Sequence[Sequence[str]]
    ) -> dict[tuple[int, str], str]:
        """Ask what is not remembered. Returns, by group and key, why there is no answer."""
        asks: list[tuple[Mapping[str, Any], list[int], list[str]]] = []
        asked: set[tuple[int, str]] = set()
        for value, of_input in zip(inputs, keys, strict=True):
            missing = [
                n
                for n, (group, key) in enumerate(zip(plan.groups, of_input, strict=True))
                if key and (n, key) not in asked and group.memory.get(key) is None
            ]
            if missing:
                asked.update((n, of_input[n]) for n in missing)
                asks.append((value, missing, [of_input[n] for n in missing]))
        failed: dict[tuple[int, str], str] = {}
        for start in range(0, len(asks), ASKED_TOGETHER):
            part = asks[start : start + ASKED_TOGETHER]
            answers = self._answers(plan, [(value, groups) for value, groups, _ in part])
            for (_, groups, of_input), said in zip(part, answers, strict=True):
                for n, key, each in zip(groups, of_input, said, strict=True):
                    if isinstance(each, str):
                        failed[n, key] = each
                    else:
                        plan.groups[n].memory.keep(key, each)
        return failed

    def _answers(
        self, plan: Plan, asks: Sequence[tuple[Mapping[str, Any], list[int]]]
    ) -> list[list[tuple[Word, ...] | str]]:
        """For each of `asks` and each of its groups: what is said, or why nothing."""
        if process.monotonic() < plan.resting_until:
            return [[plan.why_resting] * len(groups) for _, groups in asks]
        told = [_told(plan, value, groups) for value, groups in asks]
        try:
            answer = self._ask(plan, told)
        except ChildGone as gone:
            plan.resting_until = process.monotonic() + REST_SECONDS
            plan.why_resting = f"the rules could not be evaluated: {gone}"
            _log.error("custom rules not evaluated", rules=list(plan.ids), problem=str(gone))
            return [[plan.why_resting] * len(groups) for _, groups in asks]
        if "answers" not in answer:
            return [[str(answer.get("failed", "no answer"))] * len(groups) for _, groups in asks]
        return [
            [_words(plan, *each) for each in _by_group(groups, said)]
            for (_, groups), said in zip(asks, answer["answers"], strict=True)
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

    def _outcome(self, plan: Plan, keys: Sequence[str], failed: Mapping[tuple[int, str], str]) -> RuleOutcome:
        words: list[Word] = []
        for n, key in enumerate(keys):
            if not key:
                continue  # it has nothing to say to this
            known = plan.groups[n].memory.get(key)
            if known is None:
                whose = ", ".join(plan.ids[place] for place in plan.groups[n].modules)
                return RuleOutcome(failed=f"{whose}: {failed.get((n, key), 'forgotten before it was told')}")
            words += known
        if not words:
            return SILENCE
        words.sort(key=lambda word: word.place)
        return RuleOutcome(
            tuple(word.said for word in words if word.kind == "deny"),
            tuple(word.said for word in words if word.kind == "approve"),
        )


def _told(plan: Plan, value: Mapping[str, Any], groups: Sequence[int]) -> tuple[Mapping[str, Any], list[str]]:
    """An input and what to ask of it: all groups at once where that costs less than each by itself."""
    asked = sum(len(plan.groups[n].modules) for n in groups)
    if (len(groups) - 1) * CALL_COSTS > len(plan.ids) - asked:
        return projected(value, [path for group in plan.groups for path in group.paths]), [ALL]
    paths = [path for n in groups for path in plan.groups[n].paths]
    return projected(value, paths), [plan.groups[n].entrypoint for n in groups]


def _by_group(groups: Sequence[int], said: list[tuple[bool, Any]]) -> Iterator[tuple[bool, Any]]:
    if len(groups) == len(said):
        yield from said
        return
    good, value = said[0]
    for n in groups:
        yield good, value[n] if good and isinstance(value, list) else value


def _words(plan: Plan, good: bool, value: Any) -> tuple[Word, ...] | str:
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
            yield Word(place, kind, _said(plan.ids[place], message))


def _said(id_: str, message: Any) -> Said:
    match message:
        case str(text):
            return Said(id_, text[:500])
        case {"id": str(rule), "text": str(text)} if 0 < len(rule) <= 64:
            return Said(rule, text[:500])
    raise ValueError(f"{id_} says what is neither a text nor an object of id and text")
