"""Some inputs and what a set's rules say to them: what is remembered of it, and what has still to be asked."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from services.policy.adapters.rego.plan import Plan, Word
from services.policy.domain.rules import SILENCE, RuleOutcome

ASKED_TOGETHER = 200

Told = tuple[Word, ...] | str
"""What a group of rules says; a text: why it says nothing."""


class Ask(NamedTuple):
    """An input, the groups of rules that are to be asked about it, and under which keys that is remembered."""

    value: Mapping[str, Any]
    groups: list[int]
    keys: list[str]


class Hearing:
    """Holds what it was told itself: what is remembered may be forgotten before it is all together."""

    def __init__(self, plan: Plan, inputs: Sequence[Mapping[str, Any]]) -> None:
        self._plan = plan
        self._keys = [
            ["" if group.silent(value) else group.key(value) for group in plan.groups] for value in inputs
        ]
        self._told: dict[tuple[int, str], Told] = {}
        self._asks: list[Ask] = []
        asked: set[tuple[int, str]] = set()
        for value, of_input in zip(inputs, self._keys, strict=True):
            missing: list[int] = []
            for n, key in enumerate(of_input):
                if not key or (n, key) in self._told or (n, key) in asked:
                    continue
                known = plan.groups[n].memory.get(key)
                if known is None:
                    asked.add((n, key))
                    missing.append(n)
                else:
                    self._told[n, key] = known
            if missing:
                self._asks.append(Ask(value, missing, [of_input[n] for n in missing]))

    def asks(self) -> Iterator[Sequence[Ask]]:
        """What has to be asked, as many at a time as may be asked together."""
        for start in range(0, len(self._asks), ASKED_TOGETHER):
            yield self._asks[start : start + ASKED_TOGETHER]

    def learn(self, asks: Sequence[Ask], answers: Sequence[Sequence[Told]]) -> None:
        """The answers to `asks`: for each of them, and each of its groups."""
        for ask, said in zip(asks, answers, strict=True):
            for n, key, each in zip(ask.groups, ask.keys, said, strict=True):
                self._told[n, key] = each
                if not isinstance(each, str):
                    self._plan.groups[n].memory.keep(key, each)

    def outcomes(self) -> list[RuleOutcome]:
        """For each input, in order, once all is learned."""
        return [self._outcome(keys) for keys in self._keys]

    def _outcome(self, keys: Sequence[str]) -> RuleOutcome:
        words: list[Word] = []
        for n, key in enumerate(keys):
            if not key:
                continue  # it has nothing to say to this
            told = self._told[n, key]
            if isinstance(told, str):
                return RuleOutcome(failed=told)
            words += told
        if not words:
            return SILENCE
        words.sort(key=lambda word: word.place)
        return RuleOutcome(
            tuple(word.said for word in words if word.kind == "deny"),
            tuple(word.said for word in words if word.kind == "approve"),
        )
