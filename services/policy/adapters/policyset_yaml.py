"""Policy sets as YAML: read with the place of every value, so that a mistake is named by line and column."""

import json
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import RoundTripConstructor
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent
from ruamel.yaml.parser import RoundTripParser
from ruamel.yaml.scanner import RoundTripScanner

from services.policy.adapters.policyset_schema import Mistake, mistakes
from services.policy.adapters.yaml_mistakes import told
from services.policy.domain import policyset_document
from services.policy.domain.policyset import PolicySet
from services.policy.domain.policyset_faults import PolicySetInvalid
from services.policy.domain.policyset_reading import Problems

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 12
LARGE = 16 * 1024
"""Characters; reading so many takes a quarter of a second."""
APART_SECONDS = 60.0

_TRIPPED = (
    ValueError,
    ArithmeticError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    RecursionError,
)
"""What the parser raises, besides what it finds wrong, where it trips."""

_WORKER = Path(__file__).with_name("yaml_worker.py")

_SETS = Path(__file__).parents[1] / "sets"


@dataclass(frozen=True, slots=True)
class _Read:
    """Implements `ReadSet`."""

    policy: PolicySet | None
    problems: tuple[PolicySetInvalid, ...]
    loaded: object
    document: str

    def place(self, path: str) -> tuple[int, int]:
        """Line and column, from 1, of the value that `path` leads to, or of the nearest one around it."""
        return _place(path, self.loaded)

    def within(self, path: str, line: int, column: int) -> tuple[int, int]:
        """Line and column in the document of a place in the text that `path` leads to."""
        top, left = _place(path, self.loaded)
        if not line or self.document.splitlines()[top - 1][left - 1 :].strip()[:1] != "|":
            return top, left
        below = self.document.splitlines()[top:]
        indent = next((len(text) - len(text.lstrip()) for text in below if text.strip()), 0)
        return top + line, indent + column


class YamlPolicySets:
    """Implements `PolicySetReader`."""

    def __init__(self, sets: Path = _SETS) -> None:
        self.default_document = (sets / "default.yaml").read_text("utf-8")
        self._schema = sets / "schema.json"

    @property
    def schema(self) -> str:
        """JSON Schema, 2020-12."""
        return self._schema.read_text("utf-8")

    def check(self, document: str) -> PolicySet:
        """The set, after the schema and every rule that a schema cannot say.

        Raises:
            PolicySetInvalid: all problems of `look`.
        """
        found = self.look(document)
        if found.policy is None:
            first, *others = found.problems
            raise PolicySetInvalid(first.problem, first.path, first.facts["place"], others)
        return found.policy

    def look(self, document: str) -> _Read:
        """The set, or everything that is wrong with it."""
        try:
            loaded = _load(document)
        except PolicySetInvalid as problem:
            return _Read(None, (problem,), None, document)
        placed = self._against_schema(loaded)
        policy = None
        if not placed:
            problems = Problems()
            policy = policyset_document.read_all(loaded, problems)
            placed = [_placed(each, loaded) for each in problems.found]
        return _Read(None if placed else policy, tuple(placed), loaded, document)

    def read(self, document: str) -> PolicySet:
        """The set, without the schema: it was checked before it was published.

        What is large is read by a process of its own, so that a thread may call this and take nothing from the others.
        """
        loaded = _load(document) if len(document) <= LARGE else _load_apart(document)
        try:
            return policyset_document.read(loaded)
        except PolicySetInvalid as fault:
            raise _placed(fault, loaded) from None

    @cached_property
    def _validator(self) -> Any:
        # Needed when a set is published and never else, so not at the start of the process.
        from jsonschema import Draft202012Validator

        return Draft202012Validator(json.loads(self.schema))

    def _against_schema(self, loaded: object) -> list[PolicySetInvalid]:
        """In the order of the document; what is missing comes last, for it may stand there misspelt."""
        found = [
            (each.missing, _place_of(each.parts, loaded, each), each)
            for each in mistakes(self._validator, loaded)
        ]
        found.sort(key=lambda each: each[:2])
        return [
            PolicySetInvalid(each.text, each.path, f"line {line}, column {column}")
            for _, (line, column), each in found
        ]


def _load(document: str) -> object:
    _within_bounds(document)
    yaml = YAML(typ="rt", pure=True)
    yaml.Scanner, yaml.Parser, yaml.Constructor = _Wary, _Careful, _Placing
    try:
        return yaml.load(StringIO(document))
    except YAMLError as error:
        line, column, text = told(error, document)
        raise PolicySetInvalid(text, place=f"line {line}, column {column}" if line else "") from None
    except _TRIPPED:
        raise PolicySetInvalid("nothing can be made of what stands here", place=yaml.parser.last) from None


def _within_bounds(document: str) -> None:
    size = len(document.encode("utf-8", "surrogatepass"))
    if size > MAX_BYTES:
        raise PolicySetInvalid(
            f"the document has {size} bytes, and may have {MAX_BYTES} (1 MiB): name what belongs together by patterns"
            " (`db-*`) instead of one by one, and leave out what is not a rule"
        )


def _load_apart(document: str) -> object:
    """As `_load`, without places."""
    _within_bounds(document)
    try:
        done = subprocess.run(
            [sys.executable, "-I", str(_WORKER)],
            input=document.encode("utf-8", "surrogatepass"),
            capture_output=True,
            timeout=APART_SECONDS,
            check=True,
            env={"LANG": "C.UTF-8"},
        )
        loaded: object = json.loads(done.stdout)
    except (subprocess.SubprocessError, ValueError, RecursionError):
        return _load(document)  # it says what is wrong, and where
    return loaded


class _Careful(RoundTripParser):
    """Aliases can make a small document huge, and depth can exhaust the stack: neither is needed here."""

    _depth = 0
    last = ""
    """Where what was read last begins."""

    def get_event(self) -> Any:
        event = super().get_event()
        self.last = _begins(event)
        if isinstance(event, CollectionStartEvent):
            self._depth += 1
        elif isinstance(event, CollectionEndEvent):
            self._depth -= 1
        if isinstance(event, AliasEvent):
            text = "aliases are not allowed: write the value out, in quotes if it begins with '*'"
            raise PolicySetInvalid(text, place=_begins(event))
        if self._depth > MAX_DEPTH:
            raise PolicySetInvalid(f"nested deeper than {MAX_DEPTH}", place=_begins(event))
        return event


class _Wary(RoundTripScanner):
    """Says where an escape stands that is beyond all characters."""

    def fetch_more_tokens(self) -> Any:
        try:
            return super().fetch_more_tokens()
        except (ValueError, OverflowError):
            place = _at(self.reader.get_mark())
            raise PolicySetInvalid(
                "this stands for no character: the last is U+10FFFF", place=place
            ) from None


class _Placing(RoundTripConstructor):
    """Says where the value stands of which nothing can be made."""

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep=deep)
        except ValueError as error:
            raise PolicySetInvalid(f"{error}: put the value in quotes", place=_begins(node)) from None
        except (LookupError, AttributeError, TypeError):
            raise PolicySetInvalid(
                "it is not what its tag says: leave the tag out", place=_begins(node)
            ) from None


def _begins(part: Any) -> str:
    """Of an event or a node."""
    return _at(part.start_mark)


def _at(mark: Any) -> str:
    return f"line {mark.line + 1}, column {mark.column + 1}"


def _placed(fault: PolicySetInvalid, loaded: object) -> PolicySetInvalid:
    line, column = _place(fault.path, loaded)
    return PolicySetInvalid(fault.problem, fault.path, f"line {line}, column {column}")


def _place(path: str, loaded: object) -> tuple[int, int]:
    return _place_of(path.split("/") if path else (), loaded)


def _place_of(parts: Iterable[object], loaded: object, named: Mistake | None = None) -> tuple[int, int]:
    """Of the value that `parts` lead to, or of the nearest one around it; or of the name in it that is `named`."""
    place, node = (0, 0), loaded
    for part in parts:
        found = _child(node, part)
        if found is None:
            break
        place, node = found
    if named is not None and named.of_key:
        place = _named(node, named.key) or place
    return place[0] + 1, place[1] + 1


def _named(node: Any, key: object) -> tuple[int, int] | None:
    """Where the name itself stands."""
    try:
        place: tuple[int, int] = node.lc.key(key)
    except (KeyError, TypeError, AttributeError):
        return None  # it was merged in (`<<`): the mapping is what is shown
    return place


def _child(node: Any, part: Any) -> tuple[tuple[int, int], object] | None:
    """Where the value under `part` stands, and the value."""
    try:
        if isinstance(node, dict):
            key = part if part in node else next(each for each in node if str(each) == part)
            place, child = node.lc.value(key), node[key]  # type: ignore[attr-defined]  # as ruamel loads it
        elif isinstance(node, list):
            place, child = node.lc.item(int(part)), node[int(part)]  # type: ignore[attr-defined]  # as above
        else:
            return None
    except (KeyError, IndexError, ValueError, TypeError, AttributeError, StopIteration):
        return None  # it is missing: the value around it is what is shown
    return (place, child) if place else None  # an ordered map (`!!omap`) knows no places
