"""Between records (frozen dataclasses) and protobuf messages, by structure.

A `Mapper` is built once from type hints and checked as it is built: each field of the record must have a field of the
same name and a fitting type in the message, and the other way round. Knows no service.

As `dataclasses` does for `__init__`, it writes one expression per direction and compiles it: decisions are mapped tens
of thousands of times a second. Only names that Python and protobuf accept as identifiers get into it.
"""

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Generic, TypeVar

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp

from kernel.faults import Invalid

R = TypeVar("R")
M = TypeVar("M", bound=Message)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_F = FieldDescriptor
_INTEGERS = {_F.CPPTYPE_INT32, _F.CPPTYPE_INT64, _F.CPPTYPE_UINT32, _F.CPPTYPE_UINT64}
_SCALARS: dict[type, set[int]] = {
    str: {_F.TYPE_STRING},
    bytes: {_F.TYPE_BYTES},
    bool: {_F.TYPE_BOOL},
    float: {_F.TYPE_DOUBLE, _F.TYPE_FLOAT},
}
_DOES_NOT_FIT = (TypeError, ValueError, KeyError, AttributeError)


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
class _Way:
    """One value's way across: expressions over `v`, the value (for a dictionary of fields, or on its own)."""

    out: str
    back: str
    out_alone: str = ""


_AS_IT_IS = _Way("v", "v")


class _Mapping:
    """The compiled way across for one pair of types; `out` makes the fields that a message is made of."""

    _built: typing.ClassVar[dict[tuple[type, str], "_Mapping"]] = {}
    out: Callable[[Any], dict[str, Any]]
    back: Callable[[Any], Any]

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
        self.record = record
        self.message = message
        self._names: dict[str, Any] = {"record": record, "stamp": _stamp, "time": _time, "missing": _missing}
        self._fields: dict[str, tuple[str, str]] = {}
        self._allowed: dict[str, str] = {}

    def _build(self) -> None:
        descriptor: Descriptor = self.message.DESCRIPTOR  # type: ignore[assignment]
        where = f"{self.record.__name__} and {descriptor.full_name}"
        if not dataclasses.is_dataclass(self.record):
            raise TypeError(f"{self.record.__name__} is not a dataclass")
        names = [field.name for field in dataclasses.fields(self.record)]
        differ = sorted(set(names) ^ set(descriptor.fields_by_name))
        if differ:
            raise TypeError(f"{where} do not both have: {', '.join(differ)}")
        hints = typing.get_type_hints(self.record)
        for name in names:
            try:
                self._fields[name] = self._field(hints[name], descriptor.fields_by_name[name])
            except TypeError as error:
                raise TypeError(f"{where}, field {name}: {error}") from None
        self.out = self._compiled(
            "{" + ", ".join(f"{name!r}: {each[0]}" for name, each in self._fields.items()) + "}"
        )
        self.back = self._compiled(
            f"record({', '.join(f'{name}={each[1]}' for name, each in self._fields.items())})"
        )

    def _compiled(self, expression: str) -> Callable[[Any], Any]:
        made: Callable[[Any], Any] = eval(f"lambda r: {expression}", self._names)  # noqa: S307 - our own text
        return made

    def _named(self, thing: Any) -> str:
        name = f"n{len(self._names)}"
        self._names[name] = thing
        return name

    def to_message(self, record: Any) -> Message:
        try:
            return self.message(**self.out(record))
        except _DOES_NOT_FIT:
            raise self._blame(record) from None

    def to_record(self, message: Any) -> Any:
        try:
            return self.back(message)
        except KeyError:
            for name, (_, back) in self._fields.items():
                try:
                    self._compiled(back)(message)
                except KeyError as unknown:
                    reason = "FIELD_INVALID" if unknown.args[0] else "FIELD_MISSING"
                    raise _invalid(
                        reason, name, f"must be one of {self._allowed.get(name, 'the known values')}"
                    ) from None
            raise

    def _blame(self, record: Any) -> Exception:
        """The fault that names the first field whose value does not fit."""
        if isinstance(record, self.record):
            for name, (out, _) in self._fields.items():
                try:
                    self.message(**{name: self._compiled(out)(record)})
                except _DOES_NOT_FIT:
                    kind = type(getattr(record, name)).__name__
                    return _invalid("FIELD_INVALID", name, f"a {kind} that does not fit")
        return TypeError(f"a {self.record.__name__} was expected, not a {type(record).__name__}")

    def _field(self, hint: Any, field: FieldDescriptor) -> tuple[str, str]:
        """Expressions over `r`: the record for the first, the message for the second."""
        here = f"r.{field.name}"
        has = f"r.HasField({field.name!r})"
        origin, args = typing.get_origin(hint), typing.get_args(hint)
        if field.is_repeated:
            return self._many(origin, args, field, here)
        optional = origin in (typing.Union, types.UnionType) and type(None) in args
        if optional:
            (hint,) = [each for each in args if each is not type(None)] if len(args) == 2 else [None]
        way = self._value(hint, field)
        out, back = _over(way.out, here), _over(way.back, here)
        if not optional:
            if field.message_type is not None:
                back = f"{back} if {has} else missing({field.name!r})"
            return out, back
        if way.out != "v":
            out = f"None if {here} is None else {out}"
        if field.has_presence:
            return out, f"{back} if {has} else None"
        if field.enum_type is not None:
            return out, f"{back} if {here} else None"
        raise TypeError("X | None needs a field that can be unset (`optional`)")

    def _many(self, origin: Any, args: tuple[Any, ...], field: FieldDescriptor, here: str) -> tuple[str, str]:
        entry = field.message_type
        if entry is not None and entry.GetOptions().map_entry:
            if origin not in (dict, Mapping):
                raise TypeError("a map needs Mapping[K, V]")
            if self._value(args[0], entry.fields_by_name["key"]) is not _AS_IT_IS:
                raise TypeError("map keys are str, int or bool")
            way = self._value(args[1], entry.fields_by_name["value"])
            if way is _AS_IT_IS:
                return here, f"dict({here})"
            out = way.out_alone or way.out
            return f"{{k: {out} for k, v in {here}.items()}}", f"{{k: {way.back} for k, v in {here}.items()}}"
        if origin is not tuple or args[1:] != (...,):
            raise TypeError("a repeated field needs tuple[X, ...]")
        way = self._value(args[0], field)
        if way is _AS_IT_IS:
            return here, f"tuple({here})"
        return f"[{way.out} for v in {here}]", f"tuple([{way.back} for v in {here}])"

    def _value(self, hint: Any, field: FieldDescriptor) -> _Way:
        while hasattr(hint, "__supertype__"):
            hint = hint.__supertype__
        if (hint is int and field.cpp_type in _INTEGERS) or field.type in _SCALARS.get(hint, ()):
            return _AS_IT_IS
        if field.enum_type is not None and isinstance(hint, type) and issubclass(hint, StrEnum):
            on_wire = _enum(hint, field.enum_type)
            members = {number: member for member, number in on_wire.items()}
            self._allowed[field.name] = ", ".join(sorted(on_wire))
            return _Way(f"{self._named(on_wire)}[v]", f"{self._named(members)}[v]")
        if field.message_type is not None:
            if hint is datetime and field.message_type.full_name == Timestamp.DESCRIPTOR.full_name:
                return _Way("stamp(v)", "time(v)")
            if dataclasses.is_dataclass(hint) and isinstance(hint, type):
                nested = self._named(_Mapping.of(hint, GetMessageClass(field.message_type)))
                return _Way(f"{nested}.out(v)", f"{nested}.to_record(v)", f"{nested}.to_message(v)")
        raise TypeError(f"{hint} does not fit")


def _over(expression: str, value: str) -> str:
    """The expression with `value` in place of `v`; in those that `_value` writes, `v` stands last or in brackets."""
    if expression == "v":
        return value
    return expression.replace("(v)", f"({value})").replace("[v]", f"[{value}]")


def _enum(enum: type[StrEnum], descriptor: EnumDescriptor) -> dict[StrEnum, int]:
    zero = descriptor.values_by_number[0].name
    prefix = zero.removesuffix("UNSPECIFIED")
    if prefix == zero:
        raise TypeError(f"the zero of {descriptor.full_name} must end in UNSPECIFIED")
    on_wire = {each.name.removeprefix(prefix): each.number for each in descriptor.values if each.number != 0}
    differ = sorted({member.value for member in enum} ^ set(on_wire))
    if differ:
        raise TypeError(f"{enum.__name__} and {descriptor.full_name} do not both have: {', '.join(differ)}")
    return {member: on_wire[member.value] for member in enum}


def _invalid(reason: str, name: str, problem: str) -> Invalid:
    return Invalid(reason, f"{name}: {problem}", field=name)


def _missing(name: str) -> Any:
    raise _invalid("FIELD_MISSING", name, "is required")


def _stamp(at: datetime) -> dict[str, int]:
    if at.tzinfo is None:
        raise ValueError("a time without a zone")
    since = at - _EPOCH
    return {"seconds": since.days * 86400 + since.seconds, "nanos": since.microseconds * 1000}


def _time(stamp: Timestamp) -> datetime:
    try:
        return _EPOCH + timedelta(0, stamp.seconds, stamp.nanos // 1000)
    except OverflowError:
        raise Invalid("FIELD_INVALID", "a time out of range (years 1 to 9999)") from None
