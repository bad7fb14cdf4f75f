"""Reads the known failures from `known/*.yaml`, refuses whatever is not exactly as it should be, and compiles
them once.

The files are part of the package; they are read once, when first asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from ruamel.yaml import YAML

from services.orchestrator.agents.actions import FORMS, VOCABULARY, mistake_in
from services.orchestrator.agents.incident import Severity
from services.orchestrator.agents.rules import SLOT, Cause, Remedy, Rule, Rules

_SAYS = {"count", "sources", "worst", "units", "paths", "devices", "nodes", "template", "attempts"}

_COMMON = frozenset("been from have into that this with more when while after there were".split())


class RulesAreWrong(ValueError):
    """The packaged rules are not as they should be; says where and why."""


class _Table:
    """A mapping out of YAML that must be used up: whatever nobody asked for is a mistake."""

    def __init__(self, where: str, content: object) -> None:
        if not isinstance(content, dict):
            raise RulesAreWrong(f"{where}: expected a mapping")
        self.where, self._left = where, {str(k): v for k, v in content.items()}

    def text(self, key: str, default: str | None = None) -> str:
        value = self._left.pop(key, default)
        if not isinstance(value, str):
            raise RulesAreWrong(f"{self.where}: {key} must be text")
        return value

    def texts(self, key: str, *, needed: bool = False) -> tuple[str, ...]:
        value = self._left.pop(key, None)
        if value is None and not needed:
            return ()
        if not isinstance(value, list) or not value or not all(isinstance(v, str) for v in value):
            raise RulesAreWrong(f"{self.where}: {key} must be a list of texts")
        return tuple(value)

    def number(self, key: str, default: float | None = None) -> float:
        value = self._left.pop(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise RulesAreWrong(f"{self.where}: {key} must be a number")
        return value

    def flag(self, key: str) -> bool:
        value = self._left.pop(key, False)
        if not isinstance(value, bool):
            raise RulesAreWrong(f"{self.where}: {key} must be true or false")
        return value

    def table(self, key: str) -> _Table:
        return _Table(f"{self.where}.{key}", self._left.pop(key, {}))

    def tables(self, key: str) -> list[_Table]:
        value = self._left.pop(key, [])
        if not isinstance(value, list):
            raise RulesAreWrong(f"{self.where}: {key} must be a list")
        return [_Table(f"{self.where}.{key}[{i}]", v) for i, v in enumerate(value)]

    def keys(self) -> list[str]:
        return list(self._left)

    def done(self) -> None:
        if self._left:
            raise RulesAreWrong(f"{self.where}: unknown {sorted(self._left)}")


def _pattern(where: str, alternatives: Iterable[str], *, lowered: bool = True) -> re.Pattern[str]:
    """One expression for several; those that see lower-cased messages must not ask for capitals."""
    joined = "|".join(f"(?:{a})" for a in alternatives)
    if lowered and re.search(r"(?<!\\)[A-Z]", joined):
        raise RulesAreWrong(
            f"{where}: messages are lower-cased before they are matched, and this has capitals: {joined}"
        )
    try:
        return re.compile(joined)
    except re.error as fault:
        raise RulesAreWrong(f"{where}: {fault}") from fault


def _literal_words(patterns: Iterable[str]) -> frozenset[str]:
    """The longer words that stand in patterns: a message without any of a rule's words is not tried against
    it.
    """
    bare = re.sub(r"\\.|\(\?\w|[^a-z]", " ", " ".join(patterns))
    return frozenset(word for word in bare.split() if len(word) > 3) - _COMMON


def _remedies(tables: list[_Table]) -> tuple[Remedy, ...]:
    found = []
    for table in tables:
        parameters = table.table("parameters")
        values = {key: parameters.text(key) for key in parameters.keys()}  # noqa: SIM118 (not a dict)
        remedy = Remedy(
            table.text("action"),
            table.text("target", "localhost"),
            values,
            table.text("why"),
            table.text("each", ""),
        )
        table.done()
        filled = {
            key: (remedy.action and SLOT.sub(_stand_in, value)) for key, value in remedy.parameters.items()
        }
        if remedy.action not in VOCABULARY or (wrong := mistake_in(remedy.action, filled)):
            raise RulesAreWrong(f"{table.where}: {wrong if remedy.action in VOCABULARY else remedy.action}")
        found.append(remedy)
    return tuple(found)


def _stand_in(slot: re.Match[str]) -> str:
    """A well-formed value for a slot, to check that a remedy can be right at all."""
    if slot[1] not in FORMS:
        raise RulesAreWrong(f"unknown slot {slot[0]}")
    return {"path": "/", "source": "192.0.2.1"}.get(slot[1], "sd")


def _rule(table: _Table, causes: Mapping[str, Cause]) -> Rule:
    where = table.where = f"rule {table.text('id')}"
    cause = table.text("cause")
    if cause not in causes:
        raise RulesAreWrong(f"{where}: unknown cause {cause!r}")
    confidence = table.number("confidence")
    if not 0 < confidence <= 1:
        raise RulesAreWrong(f"{where}: confidence must lie above 0 and not above 1")
    least, after, extract = table.table("at_least"), table.table("only_after"), table.table("extract")
    shape, unless, resolved = table.text("shape", ""), table.texts("unless"), table.text("resolved_by", "")
    if table.flag("values") != bool(shape):
        raise RulesAreWrong(f"{where}: values and shape go together")
    says = table.text("says")
    if not set(re.findall(r"\{(\w+)\}", says)) <= _SAYS:
        raise RulesAreWrong(f"{where}: says has an unknown slot")
    taken = {}
    for key in extract.keys():  # noqa: SIM118 (not a dict)
        if key not in FORMS:
            raise RulesAreWrong(f"{where}: cannot extract {key!r}")
        taken[key] = tuple(re.compile(p, re.IGNORECASE) for p in extract.texts(key, needed=True))
        if any(p.groups != 1 for p in taken[key]):
            raise RulesAreWrong(f"{where}: an extracting pattern has exactly one group ({key})")
    patterns = table.texts("patterns", needed=True)
    rule = Rule(
        id=where.removeprefix("rule "),
        cause=cause,
        severity=Severity(table.text("severity")),
        confidence=confidence,
        words=frozenset(table.texts("words")) | _literal_words(patterns),
        pattern=_pattern(where, patterns),
        unless=_pattern(where, unless) if unless else None,
        shape=_pattern(where, [shape]) if shape else None,
        despite_level=table.flag("despite_level"),
        overrides_level=table.flag("overrides_level"),
        tempered=table.flag("tempered"),
        over_benign=table.flag("over_benign"),
        least_count=int(least.number("count", 1)),
        least_total=int(least.number("total", 0)),
        per=least.text("per", ""),
        within_seconds=int(least.number("within_seconds", 0)),
        only_after=after.text("rule", ""),
        only_after_count=int(after.number("count", 0)),
        counted_by=tuple(_pattern(where, [counted]) for counted in table.texts("counted_by")),
        extract=taken,
        resolved_by=_pattern(where, [resolved]) if resolved else None,
        says=says,
        remedies=_remedies(table.tables("remedies")),
        examples=table.texts("examples", needed=True),
    )
    for used in (table, least, after, extract):
        used.done()
    if any(not re.fullmatch("[a-z]+", word) for word in rule.words):
        raise RulesAreWrong(f"{where}: words are lower-case letters only")
    if rule.per and rule.per not in rule.extract:
        raise RulesAreWrong(f"{where}: counts per {rule.per}, which it does not extract")
    return rule


def load(contents: Mapping[str, object]) -> Rules:
    """Rules from the parsed contents of files by name. Raises: RulesAreWrong, naming the place."""
    first = _Table("causes.yaml", contents["causes.yaml"])
    causes: dict[str, Cause] = {}
    listed = first.table("causes")
    for cause_id in listed.keys():  # noqa: SIM118 (not a dict)
        table = listed.table(cause_id)
        name, leads = table.text("name"), table._left.pop("leads_to", [])
        causes[cause_id] = Cause(cause_id, name, frozenset(leads), _remedies(table.tables("remedies")))
        table.done()
    listed.done()
    for cause in causes.values():
        if not cause.leads_to <= set(causes):
            raise RulesAreWrong(f"cause {cause.id}: leads to unknown {sorted(cause.leads_to - set(causes))}")
    benign, detail, addressed = (first.table(key) for key in ("benign", "detail", "addressed"))
    rules = []
    for name in sorted(contents):
        if name != "causes.yaml":
            file = _Table(name, contents[name])
            rules += [_rule(table, causes) for table in file.tables("rules")]
            file.done()
    if len({rule.id for rule in rules}) != len(rules):
        raise RulesAreWrong("two rules have the same id")
    rules.sort(key=lambda rule: (-rule.confidence, -rule.severity.rank, rule.id))
    if unknown := {rule.only_after for rule in rules if rule.only_after} - {rule.id for rule in rules}:
        raise RulesAreWrong(f"only_after names unknown rules: {sorted(unknown)}")
    by_word: dict[str, list[int]] = {}
    for number, rule in enumerate(rules):
        for word in rule.words:
            by_word.setdefault(word, []).append(number)
    benign_words = frozenset(benign.texts("words", needed=True))
    speaking = addressed.texts("patterns", needed=True)
    addressed_words = frozenset(addressed.texts("words", needed=True)) | _literal_words(speaking)
    made = Rules(
        rules=tuple(rules),
        causes=causes,
        by_word={word: tuple(numbers) for word, numbers in by_word.items()},
        benign=_pattern("benign", benign.texts("patterns", needed=True)),
        benign_words=benign_words,
        counts=_pattern("benign", [benign.text("counts")]),
        detail=_pattern("detail", detail.texts("patterns", needed=True)),
        addressed=_pattern("addressed", speaking),
        addressed_words=addressed_words,
        telling=benign_words | addressed_words | by_word.keys(),
    )
    for used in (benign, detail, addressed):
        used.texts("examples")
        used.done()
    first.done()
    return made


def read_files() -> dict[str, object]:
    """The packaged files, parsed."""
    parser = YAML(typ="safe", pure=True)
    folder = Path(__file__).with_name("known")
    return {path.name: parser.load(path.read_text("utf-8")) for path in sorted(folder.glob("*.yaml"))}


@cache
def packaged() -> Rules:
    """The packaged rules, read and compiled once."""
    return load(read_files())
