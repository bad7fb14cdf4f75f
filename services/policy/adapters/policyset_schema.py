"""What the schema of policy sets refuses, in the words of those who write sets rather than a validator's."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

MOST_TOLD = 100

_TYPES = {
    "object": "a mapping",
    "array": "a list",
    "string": "a text",
    "integer": "a whole number",
    "boolean": "true or false",
}
PATTERNS = {
    "^[A-Za-z0-9._-]{1,64}$": "must be 1 to 64 letters, digits, '.', '_' and '-'",
    "^[a-z][a-z0-9_]*(\\.[a-z][a-z0-9_]*)+$": "must be a name like 'service.restart'",
    "^(?!.*_test$)[a-z][a-z0-9_]{0,63}$": (
        "must be a small letter, and then at most 63 small letters, digits and '_', and not end in '_test'"
    ),
    "^key:": "is no person's key, as 'key:alice' is",
    "^[a-z][a-z0-9_.-]{0,63}$": "must be a small letter, and then at most 63 small letters, digits, '.', '_' and '-'",
}
_NOTHING = "there is nothing in it: a set has version, actions and tiers; `provost policy show` has one to begin with"


@dataclass(frozen=True, slots=True)
class Mistake:
    """`parts` lead to the value; or to the mapping in which the name `key` is what is wrong, if `of_key`."""

    parts: tuple[object, ...]
    text: str
    key: object = None
    of_key: bool = False
    missing: bool = False

    @property
    def path(self) -> str:
        return "/".join(str(part) for part in (*self.parts, *((self.key,) if self.of_key else ())))


def mistakes(validator: Any, loaded: object) -> list[Mistake]:
    """All that `validator` finds, at most `MOST_TOLD`; each once."""
    if loaded is None:
        return [Mistake((), _NOTHING)]
    errors = islice(validator.iter_errors(loaded), MOST_TOLD)
    return list(dict.fromkeys(each for error in errors for each in _of(error)))[:MOST_TOLD]


def _of(error: Any) -> Iterator[Mistake]:
    parts = tuple(error.absolute_path)
    if error.validator == "additionalProperties":
        for key in error.instance:
            if key not in error.schema["properties"]:
                yield Mistake(parts, IN_WORDS["additionalProperties"](error, key), key, of_key=True)
    elif error.validator == "required":
        for key in error.validator_value:
            if key not in error.instance:
                yield Mistake(parts, IN_WORDS["required"](error, key), missing=True)
    elif error.validator == "uniqueItems":
        for n, each in enumerate(error.instance):
            if each in error.instance[:n]:
                yield Mistake((*parts, n), IN_WORDS["uniqueItems"](error, each))
    elif "propertyNames" in error.absolute_schema_path:
        yield Mistake(parts, IN_WORDS[error.validator](error, None), error.instance, of_key=True)
    elif IN_WORDS[error.validator] is not _range or not isinstance(error.instance, float):  # told as a type
        yield Mistake(parts, IN_WORDS[error.validator](error, None))


def _type(error: Any, _: object) -> str:
    wanted, given = _TYPES[error.validator_value], error.instance
    if given is None:
        return f"must be {wanted}, and there is nothing"
    quotes = wanted == "a text" and not isinstance(given, Mapping | list)
    return f"must be {wanted}, not {_shown(given)}{': put it in quotes' if quotes else ''}"


def _range(error: Any, _: object) -> str:
    return f"must be {error.schema['minimum']} to {error.schema['maximum']}, not {_shown(error.instance)}"


def _too_many(error: Any, _: object) -> str:
    return f"has {len(error.instance)} entries, and may have {error.validator_value}{_why(error)}"


def _too_long(error: Any, _: object) -> str:
    return f"has {len(error.instance)} characters, and may have {error.validator_value}"


def _empty(error: Any, _: object) -> str:
    known = error.schema.get("properties")
    return f"must name at least one of {', '.join(known)}" if known else "must not be empty"


IN_WORDS: Mapping[str, Callable[[Any, object], str]] = {
    "additionalProperties": lambda error, key: _unknown(key, error.schema["properties"]),
    "required": lambda _, key: f"{key} is missing",
    "type": _type,
    "const": lambda error, _: f"must be {_shown(error.validator_value)}{_why(error)}",
    "enum": lambda error, _: _unknown(error.instance, error.validator_value),
    "pattern": lambda error, _: f"{_shown(error.instance)} {PATTERNS[error.validator_value]}",
    "minimum": _range,
    "maximum": _range,
    "minItems": _empty,
    "maxItems": _too_many,
    "uniqueItems": lambda _, twice: f"{_shown(twice)} is named twice",
    "minProperties": _empty,
    "maxProperties": _too_many,
    "minLength": _empty,
    "maxLength": _too_long,
}
"""By keyword of the schema: what is said of an error, and of the name it is about if it is about one."""


def _why(error: Any) -> str:
    why = error.schema.get("$comment", "")
    return f": {why}" if why else ""


def _unknown(given: object, known: Any) -> str:
    return f"{_shown(given)} is unknown; known are {', '.join(map(str, known))}"


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str):
        return str(value)[:60]
    return repr(str(value) if len(value) <= 60 else f"{value[:60]}…")
