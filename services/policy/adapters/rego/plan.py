"""How the custom rules of one set are asked: those that look at the same of the input together.

A rule is told nothing but its input, and answers the same to the same. So each such group is asked once for each of the
values it can see, and what was answered is remembered.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from services.policy.domain.policyset_rules import RegoModule
from services.policy.domain.rego_guards import guards_of
from services.policy.domain.rego_text import Path, read_module
from services.policy.domain.rules import Said

REMEMBERED = 50_000
ASKING = "provost/ask"
"""The name of a module of ours; no rule has it."""
SAID = "provost.ask.said"
"""What all rules say: for each group, what each of its speakers does."""
TOGETHER = "provost.ask.together"
"""The same for each of `inputs`."""


class Word(NamedTuple):
    """What one module says: its place in the set, `deny` or `approve`, and whose word it is."""

    place: int
    kind: str
    said: Said


class Memory:
    """What was answered, the last ones that were asked for: between `REMEMBERED` and twice as many."""

    def __init__(self) -> None:
        self._young: dict[str, tuple[Word, ...]] = {}
        self._old: dict[str, tuple[Word, ...]] = {}

    def get(self, key: str) -> tuple[Word, ...] | None:
        found = self._young.get(key)
        if found is None and (found := self._old.get(key)) is not None:
            self.keep(key, found)
        return found

    def keep(self, key: str, words: tuple[Word, ...]) -> None:
        if len(self._young) >= REMEMBERED:
            self._old, self._young = self._young, {}
        self._young[key] = words


@dataclass(slots=True)
class Group:
    """Modules that look at the same of the input."""

    paths: tuple[Path, ...]
    speakers: list[tuple[int, str]]
    """Each of `deny` and `approve` that one of them defines, by its module's place in the set."""
    guards: tuple[tuple[Path, frozenset[str]], ...] | None = None
    memory: Memory = field(default_factory=Memory)

    def silent(self, value: Mapping[str, Any]) -> bool:
        """Whether none of them can say anything to this: what each of its rules asks for is not there."""
        return self.guards is not None and not any(
            isinstance(found := at(value, path), str) and found in texts for path, texts in self.guards
        )

    def key(self, value: Mapping[str, Any]) -> str:
        return repr([at(value, path) for path in self.paths])


@dataclass(slots=True)
class Plan:
    """How the modules of one set are asked."""

    key: str
    modules: dict[str, str]
    ids: tuple[str, ...]
    groups: tuple[Group, ...]
    paths: tuple[Path, ...]
    """What all of them look at."""
    resting_until: float = 0.0
    why_resting: str = ""


def plan_of(rego: Sequence[RegoModule]) -> Plan:
    """How these modules are asked: those that look at the same of the input, together."""
    texts = [read_module(module.text) for module in rego]
    together: dict[tuple[Path, ...], list[int]] = {}
    for place, text in enumerate(texts):
        looked = text.looks_at
        if any(each.reads_data for each in texts):  # one may look through another's eyes
            looked = frozenset(path for each in texts for path in each.looks_at)
        together.setdefault(shortest(looked), []).append(place)
    groups = tuple(
        Group(
            paths,
            [(place, kind) for place in places for kind in texts[place].speaks],
            guards([rego[place].text for place in places]),
        )
        for paths, places in together.items()
    )
    said = ",\n".join(
        f"[{', '.join(f'data.provost.rules.{rego[place].id}.{kind}' for place, kind in group.speakers)}]"
        for group in groups
    )
    modules = {f"{module.id}.rego": module.text for module in rego}
    each = "together := [each | some one in input.inputs; each := said with input as one]"
    modules[ASKING] = f"package provost.ask\n\nsaid := [{said}]\n\n{each}\n"
    digest = hashlib.sha256(json.dumps(modules).encode())
    ids = tuple(module.id for module in rego)
    paths = shortest(frozenset(path for group in groups for path in group.paths))
    return Plan(digest.hexdigest(), modules, ids, groups, paths)


def guards(texts: Sequence[str]) -> tuple[tuple[Path, frozenset[str]], ...] | None:
    """By place in the input: the values one of which has to stand there before any of these modules speaks."""
    by_place: dict[Path, set[str]] = {}
    for text in texts:
        found = guards_of(text)
        if found is None:
            return None
        for path, value in found:
            by_place.setdefault(path, set()).add(value)
    return tuple((path, frozenset(values)) for path, values in by_place.items())


def loading(plan: Plan) -> dict[str, Any]:
    """What the child has to be told once."""
    return {"do": "load", "key": plan.key, "modules": plan.modules, "path": SAID, "together": TOGETHER}


def asking(plan: Plan, inputs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What all rules say to each of these."""
    return {"do": "judge", "key": plan.key, "inputs": inputs}


def shortest(paths: frozenset[Path]) -> tuple[Path, ...]:
    """`paths` without those that lead into another's."""
    return tuple(sorted(p for p in paths if not any(p[:n] in paths for n in range(len(p)))))


def projected(value: Mapping[str, Any], paths: Sequence[Path]) -> Mapping[str, Any]:
    """As much of `value` as lies on `paths`."""
    if () in paths:
        return value
    found: dict[str, Any] = {}
    for path in paths:
        each = at(value, path)
        if each is NOTHING:
            continue
        inner = found
        for part in path[:-1]:
            inner = inner.setdefault(part, {})
        inner[path[-1]] = each
    return found


class _Nothing:
    def __repr__(self) -> str:
        return "∅"


NOTHING = _Nothing()


def at(value: Any, path: Path) -> Any:
    for part in path:
        if not isinstance(value, Mapping) or part not in value:
            return NOTHING
        value = value[part]
    return value
