"""What of a record is personal, as the contract says it: fields with the option `(provost.event.v1.personal)`.

Built once for a record and the message it is mapped to, by the names of their fields. Knows no service, and not what is
done to the texts.
"""

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from provost.event.v1 import privacy_pb2

R = TypeVar("R")
Change = Callable[[str], str]


def is_personal(field: FieldDescriptor) -> bool:
    """Whether the contract says so."""
    return bool(field.GetOptions().Extensions[privacy_pb2.personal])


class Personal:
    """Changes the personal texts of records of one type.

    Raises:
        TypeError: when built, if something else than text is said to be personal.
    """

    def __init__(self, record: type, message: type[Message]) -> None:
        self._fields = _fields(record, message.DESCRIPTOR)  # type: ignore[arg-type]  # a Descriptor, in fact

    def changed(self, record: R, change: Change) -> R:
        """`record` with `change` made to each personal text that is not empty; the same object when it has none."""
        return typing.cast(R, _changed(record, self._fields, change))


_Fields = list[tuple[str, str, Any]]
_KNOWN: dict[tuple[type, str], _Fields] = {}


def _fields(record: type, descriptor: Descriptor) -> _Fields:
    """Name, kind, and for records their own fields; only what is personal or holds something that is."""
    key = (record, descriptor.full_name)
    if key in _KNOWN:
        return _KNOWN[key]
    found: _Fields = []
    hints = typing.get_type_hints(record)
    for field in dataclasses.fields(record):
        there = descriptor.fields_by_name.get(field.name)
        if there is None:
            continue
        hint = hints[field.name]
        many = typing.get_origin(hint) is tuple
        mapped = typing.get_origin(hint) in (dict, Mapping)
        if is_personal(there):
            kind = "map" if mapped else "texts" if many else "text"
            if kind != "map" and there.type != FieldDescriptor.TYPE_STRING:
                raise TypeError(f"{there.full_name} is personal and no text")
            found.append((field.name, kind, None))
            continue
        inner = _record_in(hint)
        if inner is None or there.message_type is None:
            continue
        below = _fields(inner, there.message_type)
        if below:
            found.append((field.name, "records" if many else "record", below))
    _KNOWN[key] = found
    return found


def _record_in(hint: Any) -> type | None:
    args = typing.get_args(hint)
    if typing.get_origin(hint) in (typing.Union, types.UnionType, tuple):
        hint = next((each for each in args if each not in (type(None), ...)), None)
    return hint if isinstance(hint, type) and dataclasses.is_dataclass(hint) else None


def _changed(record: Any, fields: _Fields, change: Change) -> Any:
    made: dict[str, Any] = {}
    for name, kind, below in fields:
        value = getattr(record, name)
        if not value:
            continue
        match kind:
            case "text":
                made[name] = change(value)
            case "texts":
                made[name] = tuple([change(each) for each in value])
            case "map":
                made[name] = {key: change(each) if each else each for key, each in value.items()}
            case "record":
                made[name] = _changed(value, below, change)
            case _:
                made[name] = tuple([_changed(each, below, change) for each in value])
    return dataclasses.replace(record, **made) if made else record
