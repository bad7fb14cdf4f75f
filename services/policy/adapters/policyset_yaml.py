"""Policy sets as YAML: read with the place of every value, so that a mistake is named by line and column."""

import json
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent

from services.policy.domain import policyset_document
from services.policy.domain.faults import PolicySetInvalid
from services.policy.domain.policyset import PolicySet

MAX_BYTES = 256 * 1024
MAX_DEPTH = 12

_SETS = Path(__file__).parents[1] / "sets"


class YamlPolicySets:
    """Implements `PolicySetReader`."""

    def __init__(self, sets: Path = _SETS) -> None:
        self.default_document = (sets / "default.yaml").read_text("utf-8")
        self._schema = sets / "schema.json"

    def check(self, document: str) -> PolicySet:
        """The set, after the schema and every rule that a schema cannot say."""
        loaded = _load(document)
        for path, problem in self._against_schema(loaded):
            raise _placed(PolicySetInvalid(problem, "/".join(path)), loaded)
        return _read(loaded)

    def read(self, document: str) -> PolicySet:
        """The set, without the schema: it was checked before it was published."""
        return _read(_load(document))

    def _against_schema(self, loaded: object) -> Iterator[tuple[list[str], str]]:
        # Needed when a set is published and never else, so not at the start of the process.
        from jsonschema import Draft202012Validator
        from jsonschema.exceptions import best_match

        schema = json.loads(self._schema.read_text("utf-8"))
        error = best_match(Draft202012Validator(schema).iter_errors(loaded))
        if error is not None:
            yield [str(part) for part in error.absolute_path], error.message[:300]


def _read(loaded: object) -> PolicySet:
    try:
        return policyset_document.read(loaded)
    except PolicySetInvalid as fault:
        raise _placed(fault, loaded) from None


def _load(document: str) -> object:
    if len(document.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise PolicySetInvalid(f"the document is larger than {MAX_BYTES} bytes")
    yaml = YAML(typ="rt", pure=True)
    try:
        _refuse_bombs(yaml, document)
        return yaml.load(StringIO(document))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise PolicySetInvalid(str(error.problem or error.context or "not YAML"), place=place) from None
    except (YAMLError, ValueError) as error:
        raise PolicySetInvalid(f"not YAML: {str(error).splitlines()[0][:200]}") from None


def _refuse_bombs(yaml: YAML, document: str) -> None:
    """Aliases can make a small document huge, and depth can exhaust the stack: neither is needed here."""
    depth = 0
    for event in yaml.parse(StringIO(document)):
        line = f"line {event.start_mark.line + 1}, column {event.start_mark.column + 1}"
        if isinstance(event, AliasEvent):
            raise PolicySetInvalid("aliases are not allowed: write the value out", place=line)
        if isinstance(event, CollectionStartEvent):
            depth += 1
        elif isinstance(event, CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            raise PolicySetInvalid(f"nested deeper than {MAX_DEPTH}", place=line)


def _placed(fault: PolicySetInvalid, loaded: object) -> PolicySetInvalid:
    """`fault` with the line and column of the value that its path leads to, or of the nearest one around it."""
    place, node = "line 1, column 1", loaded
    for part in fault.path.split("/") if fault.path else ():
        found = _child(node, part)
        if found is None:
            break
        (line, column), node = found
        place = f"line {line + 1}, column {column + 1}"
    return PolicySetInvalid(fault.problem, fault.path, place)


def _child(node: Any, part: str) -> tuple[tuple[int, int], object] | None:
    """Where the value under `part` stands, and the value."""
    try:
        if isinstance(node, dict):
            return node.lc.value(part), node[part]  # type: ignore[attr-defined]
        if isinstance(node, list):
            return node.lc.item(int(part)), node[int(part)]  # type: ignore[attr-defined]
    except (KeyError, IndexError, ValueError, TypeError, AttributeError):
        return None  # it is missing: the value around it is what is shown
    return None
