"""Records as JSON and back, by their type hints: how they lie in the store.

Times are ISO 8601 in UTC with microseconds, tuples are lists, and keys are sorted: equal records are equal texts.
"""

import dataclasses
import json
import types
import typing
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from typing import Any, TypeVar

R = TypeVar("R")
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode


def to_json(value: object) -> str:
    """`value` (a record, or anything JSON knows) as one line."""
    return _encode(_plain(value))


def from_json(record: type[R], text: str) -> R:
    """The record that `to_json` made `text` of. Raises ValueError, TypeError, LookupError: it made it of none."""
    hint: Any = record
    made: R = _reader(hint)(json.loads(text))
    return made


def iso(at: datetime) -> str:
    """As `2026-03-01T12:30:15.123456+00:00`: as text these sort as the times do."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {name: _plain(getattr(value, name)) for name in _names(type(value))}
    return value


@cache
def _names(record: type) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(record))


@cache
def _reader(hint: Any) -> Callable[[Any], Any]:
    if hint is datetime:
        return datetime.fromisoformat
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return hint
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        hints = typing.get_type_hints(hint)
        readers = {name: _reader(hints[name]) for name in _names(hint)}
        return lambda data: hint(**{name: read(data[name]) for name, read in readers.items()})
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        item = _reader(args[0])
        return lambda data: tuple([item(each) for each in data])
    if origin in (typing.Union, types.UnionType):
        (inner,) = [_reader(arg) for arg in args if arg is not types.NoneType]
        return lambda data: None if data is None else inner(data)
    if hint in (str, int):
        return lambda data: data if isinstance(data, hint) else _refuse(data, hint)
    return lambda data: data


def _refuse(data: Any, hint: Any) -> Any:
    raise TypeError(f"{type(data).__name__} is no {hint.__name__}")
