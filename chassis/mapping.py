"""Between records (frozen dataclasses) and protobuf messages, by structure.

A `Mapper` is built once from type hints and checked as it is built: each field of the record must have a
field of the same name and a fitting type in the message, and the other way round. Knows no service.
"""

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from operator import attrgetter
from typing import Any, Generic, TypeVar

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp

from kernel.faults import Invalid

R = TypeVar("R")
M = TypeVar("M", bound=Message)
Convert = Callable[[Any], Any]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_F = FieldDescriptor
_INTEGERS = {_F.CPPTYPE_INT32, _F.CPPTYPE_INT64, _F.CPPTYPE_UINT32, _F.CPPTYPE_UINT64}
_SCALARS: dict[type, set[int]] = {
    str: {_F.TYPE_STRING},
    bytes: {_F.TYPE_BYTES},
    bool: {_F.TYPE_BOOL},
    float: {_F.TYPE_DOUBLE, _F.TYPE_FLOAT},
}


class Mapper(Generic[R, M]):
    """Turns an `R` into an `M` and back.

    `datetime` is a Timestamp (UTC, microseconds), a `StrEnum` an enum without its prefix, `tuple[X, ...]` a
    repeated field, `Mapping[K, V]` a map, a dataclass a message, `X | None` one that may be unset.

    Raises:
        TypeError: when built, if record and message do not agree.
    """

    def __init__(self, record: type[R], message: type[M]) -> None:
        self._mapping = _Mapping.of(record, message)

    def to_message(self, record: R) -> M:
        """Raises Invalid, reason `FIELD_INVALID`, naming a field whose value does not fit."""
        return typing.cast(M, self._mapping.to_message(record))

    def to_record(self, message: M) -> R:
        """Raises Invalid, reason `FIELD_MISSING` or `FIELD_INVALID`, naming a field that is unset or unknown."""
        return typing.cast(R, self._mapping.to_record(message))


@dataclasses.dataclass(frozen=True, slots=True)
class _Kind:
    """How one value crosses; `None` means as it is."""

    to_wire: Convert | None
    to_record: Convert | None


class _Mapping:
    _built: typing.ClassVar[dict[tuple[type, str], "_Mapping"]] = {}

    @classmethod
    def of(cls, record: type, message: type[Message]) -> "_Mapping":
        key = (record, message.DESCRIPTOR.full_name)
        known = cls._built.get(key)
        if known is None:
            known = cls._built[key] = cls(record, message)
            try:
                known._build()
            except BaseException:
                del cls._built[key]
                raise
        return known

    def __init__(self, record: type, message: type[Message]) -> None:
        self._record = record
        self._message = message
        self._plain: tuple[str, ...] = ()
        self._get_plain: Callable[[Any], Sequence[Any]] = lambda _: ()
        self._converted: tuple[tuple[str, Convert], ...] = ()
        self._readers: tuple[tuple[str, Convert], ...] = ()

    def _build(self) -> None:
        descriptor: Descriptor = self._message.DESCRIPTOR  # type: ignore[assignment]
        where = f"{self._record.__name__} and {descriptor.full_name}"
        if not dataclasses.is_dataclass(self._record):
            raise TypeError(f"{self._record.__name__} is not a dataclass")
        names = [field.name for field in dataclasses.fields(self._record)]
        differ = sorted(set(names) ^ set(descriptor.fields_by_name))
        if differ:
            raise TypeError(f"{where} do not both have: {', '.join(differ)}")
        hints = typing.get_type_hints(self._record)
        plain, converted, readers = [], [], []
        for name in names:
            field = descriptor.fields_by_name[name]
            try:
                kind, read = _field(hints[name], field)
            except TypeError as error:
                raise TypeError(f"{where}, field {name}: {error}") from None
            if kind.to_wire is None:
                plain.append(name)
            else:
                converted.append((name, kind.to_wire))
            readers.append((name, read))
        self._plain, self._converted, self._readers = tuple(plain), tuple(converted), tuple(readers)
        if len(plain) == 1:
            only = attrgetter(plain[0])
            self._get_plain = lambda record: (only(record),)
        elif plain:
            self._get_plain = attrgetter(*plain)

    def to_message(self, record: Any) -> Message:
        try:
            values = dict(zip(self._plain, self._get_plain(record), strict=True))
            for name, convert in self._converted:
                values[name] = convert(getattr(record, name))
            return self._message(**values)
        except (TypeError, ValueError, AttributeError):
            raise self._blame(record) from None

    def to_record(self, message: Any) -> Any:
        return self._record(**{name: read(message) for name, read in self._readers})

    def _blame(self, record: Any) -> Exception:
        """The fault that names the first field whose value does not fit."""
        if not isinstance(record, self._record):
            return TypeError(f"a {self._record.__name__} was expected, not a {type(record).__name__}")
        converters = dict(self._converted)
        for name, _ in self._readers:
            try:
                value = getattr(record, name)
                self._message(**{name: converters[name](value) if name in converters else value})
            except (TypeError, ValueError, AttributeError):
                return _invalid("FIELD_INVALID", name, f"a {type(value).__name__} that does not fit")
        return TypeError(f"{self._record.__name__} does not fit {self._message.DESCRIPTOR.full_name}")


def _invalid(reason: str, name: str, problem: str) -> Invalid:
    return Invalid(reason, f"{name}: {problem}", field=name)


def _field(hint: Any, field: FieldDescriptor) -> tuple[_Kind, Convert]:
    """How `field` is written (a kind) and read (from the whole message)."""
    name, get = field.name, attrgetter(field.name)
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if field.is_repeated and field.message_type is not None and field.message_type.GetOptions().map_entry:
        if origin not in (dict, Mapping):
            raise TypeError("a map needs Mapping[K, V]")
        return _map(field.message_type, args, name)
    if field.is_repeated:
        if origin is not tuple or args[1:] != (...,):
            raise TypeError("a repeated field needs tuple[X, ...]")
        item = _value(args[0], field)
        to_wire, to_record = item.to_wire, item.to_record
        if to_wire is None or to_record is None:
            return _Kind(None, tuple), lambda message: tuple(get(message))
        return (
            _Kind(lambda values: [to_wire(value) for value in values], tuple),
            lambda message: tuple([to_record(value) for value in get(message)]),
        )
    optional = origin in (typing.Union, types.UnionType) and type(None) in args
    if optional:
        (hint,) = [each for each in args if each is not type(None)] if len(args) == 2 else [None]
    kind = _value(hint, field)
    back = kind.to_record
    if not optional:
        if back is None:
            return kind, get
        if field.message_type is not None:
            return kind, lambda message: back(get(message)) if message.HasField(name) else _missing(name)
        return kind, lambda message: back(get(message))
    out = kind.to_wire
    forward = None if out is None else lambda value: None if value is None else out(value)
    if field.has_presence:
        if back is None:
            return _Kind(None, None), lambda message: get(message) if message.HasField(name) else None
        return _Kind(forward, back), lambda message: back(get(message)) if message.HasField(name) else None
    if field.enum_type is not None and back is not None:
        return _Kind(forward, back), lambda message: back(get(message)) if get(message) else None
    raise TypeError("X | None needs a field that can be unset (`optional`)")


def _missing(name: str) -> Any:
    raise _invalid("FIELD_MISSING", name, "is required")


def _map(entry: Descriptor, args: tuple[Any, ...], name: str) -> tuple[_Kind, Convert]:
    get = attrgetter(name)
    if _value(args[0], entry.fields_by_name["key"]).to_wire is not None:
        raise TypeError("map keys are str, int or bool")
    kind = _value(args[1], entry.fields_by_name["value"])
    out, back = kind.to_wire, kind.to_record
    if out is None or back is None:
        return _Kind(None, None), lambda message: dict(get(message))
    return (
        _Kind(lambda values: {key: out(value) for key, value in values.items()}, None),
        lambda message: {key: back(value) for key, value in get(message).items()},
    )


def _value(hint: Any, field: FieldDescriptor) -> _Kind:
    while hasattr(hint, "__supertype__"):
        hint = hint.__supertype__
    if hint is int and field.cpp_type in _INTEGERS:
        return _Kind(None, None)
    if hint in _SCALARS and field.type in _SCALARS[hint]:
        return _Kind(None, None)
    if field.enum_type is not None and isinstance(hint, type) and issubclass(hint, StrEnum):
        return _enum(hint, field.enum_type, field.name)
    if field.message_type is not None:
        if hint is datetime and field.message_type.full_name == "google.protobuf.Timestamp":
            return _Kind(_timestamp, _datetime)
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            nested = _Mapping.of(hint, GetMessageClass(field.message_type))
            return _Kind(nested.to_message, nested.to_record)
    raise TypeError(f"{hint} does not fit")


def _enum(enum: type[StrEnum], descriptor: EnumDescriptor, name: str) -> _Kind:
    zero = descriptor.values_by_number[0].name
    prefix = zero.removesuffix("UNSPECIFIED")
    if prefix == zero:
        raise TypeError(f"the zero of {descriptor.full_name} must end in UNSPECIFIED")
    on_wire = {each.name.removeprefix(prefix): each.number for each in descriptor.values if each.number != 0}
    differ = sorted({member.value for member in enum} ^ set(on_wire))
    if differ:
        raise TypeError(f"{enum.__name__} and {descriptor.full_name} do not both have: {', '.join(differ)}")
    members = {on_wire[member.value]: member for member in enum}

    def back(number: int) -> StrEnum:
        member = members.get(number)
        if member is None:
            reason = "FIELD_INVALID" if number else "FIELD_MISSING"
            raise _invalid(reason, name, f"must be one of {', '.join(sorted(on_wire))}")
        return member

    return _Kind(lambda member: on_wire[enum(member)], back)


def _timestamp(at: datetime) -> Timestamp:
    if at.tzinfo is None:
        raise ValueError("a time without a zone")
    seconds, microseconds = divmod((at - _EPOCH) // _MICROSECOND, 1_000_000)
    return Timestamp(seconds=seconds, nanos=microseconds * 1000)


def _datetime(stamp: Timestamp) -> datetime:
    try:
        return _EPOCH + timedelta(seconds=stamp.seconds, microseconds=stamp.nanos // 1000)
    except OverflowError:
        raise Invalid("FIELD_INVALID", "a time out of range (years 1 to 9999)") from None
