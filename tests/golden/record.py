"""`python -m tests.golden.record`: records how every event looks today, where that is not recorded yet.

A golden file is an event as it was once published (`<version>.bin`) and what it means (`<version>.json`, with the shape
its message had). Events are for ever, and so are these files: a changed message gets a new version beside the old ones.
Values are made up from the fields themselves: text beyond ASCII, every value of an enum, maps and lists with more than
one entry, and fields that no program knows, as a newer one may have written them.
"""

import hashlib
import json
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

HERE = Path(__file__).parent
PROTOS = HERE.parents[1] / "protos" / "provost"
UNKNOWN = b"\xc0\xba\x07\x2a\xca\xba\x07\x0aof a newer"
"""Fields 15272 and 15273, which nobody has: 42, and text."""
_F = FieldDescriptor
_NUMBERS = {
    _F.CPPTYPE_INT32: 1234,
    _F.CPPTYPE_INT64: 9_007_199_254_740_993,
    _F.CPPTYPE_UINT32: 2**32 - 1,
    _F.CPPTYPE_UINT64: 2**53 + 1,
    _F.CPPTYPE_DOUBLE: 0.1,
    _F.CPPTYPE_FLOAT: 0.5,
    _F.CPPTYPE_BOOL: True,
}


def events(pool: DescriptorPool | None = None) -> Iterator[Descriptor]:
    """Every message that is published as an event: those that are not merely parts of another."""
    for path in (*sorted(PROTOS.glob("*/v1/events.proto")), PROTOS / "event" / "v1" / "keys.proto"):
        context, stem = path.parts[-3], path.stem
        if pool is None:
            file = import_module(f"provost.{context}.v1.{stem}_pb2").DESCRIPTOR
        else:
            try:
                file = pool.FindFileByName(f"provost/{context}/v1/{stem}.proto")
            except KeyError:
                continue
        parts = {
            field.message_type.full_name
            for message in file.message_types_by_name.values()
            for field in message.fields
            if field.message_type is not None
        }
        for message in file.message_types_by_name.values():
            if message.full_name not in parts:
                yield message


def shape(descriptor: Descriptor) -> str:
    """A hash over everything that the bytes of a message depend on."""
    return hashlib.sha256("\n".join(_lines(descriptor, set())).encode()).hexdigest()[:16]


def _lines(descriptor: Descriptor, seen: set[str]) -> Iterator[str]:
    if descriptor.full_name in seen:
        return
    seen.add(descriptor.full_name)
    for field in sorted(descriptor.fields, key=lambda each: each.number):
        kind = field.message_type or field.enum_type
        name = kind.full_name if kind is not None else ""
        yield f"{descriptor.full_name} {field.number} {field.name} {field.type} {field.is_repeated} {name}"
        if field.enum_type is not None:
            yield from (f"{name} {each.number} {each.name}" for each in field.enum_type.values)
        if field.message_type is not None:
            yield from _lines(field.message_type, seen)


def filled(descriptor: Descriptor) -> Message:
    """A message with something in every field."""
    message = GetMessageClass(descriptor)()
    if descriptor.full_name == "google.protobuf.Timestamp":
        message.seconds, message.nanos = 1_772_366_400, 123_456_000  # type: ignore[attr-defined]
        return message
    for field in descriptor.fields:
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            _fill_map(getattr(message, field.name), field.message_type)
        elif field.is_repeated:
            values = [_value(field, n) for n in range(_count(field))]
            getattr(message, field.name).extend(values)
        elif field.message_type is not None:
            getattr(message, field.name).CopyFrom(filled(field.message_type))
        else:
            setattr(message, field.name, _value(field, 0))
    return message


def _count(field: FieldDescriptor) -> int:
    return len(field.enum_type.values) - 1 if field.enum_type is not None else 2


def _fill_map(entries: Any, entry: Descriptor) -> None:
    key, value = entry.fields_by_name["key"], entry.fields_by_name["value"]
    for n in range(2):
        name = _value(key, n)
        if value.message_type is not None:
            entries[name].CopyFrom(filled(value.message_type))
        else:
            entries[name] = _value(value, n)


def _value(field: FieldDescriptor, n: int) -> Any:
    if field.message_type is not None:
        return filled(field.message_type)
    if field.enum_type is not None:
        known = [each.number for each in field.enum_type.values if each.number]
        return known[n % len(known)]
    if field.type == _F.TYPE_BYTES:
        return b"\x00\xff" + field.name.encode()
    if field.type == _F.TYPE_STRING:
        return _text(field.name, n)
    return _NUMBERS[field.cpp_type]


def _text(name: str, n: int) -> str:
    if name.endswith(("sha256", "digest")):
        return hashlib.sha256(f"{name}{n}".encode()).hexdigest()
    if name == "id" or name.endswith("_id"):
        return f"{name}-{n + 1}"
    return f'{name} {n + 1}: Zürich, 東京, "{"x" * n}" \u202e\n\t\x7f 😀'


def versions(full_name: str) -> list[int]:
    """Which are recorded, oldest first."""
    return sorted(int(path.stem) for path in (HERE / full_name).glob("*.json"))


def record(descriptor: Descriptor) -> bool:
    """Record how it looks now; false when the newest golden file has that shape already."""
    place, known = HERE / descriptor.full_name, versions(descriptor.full_name)
    now = shape(descriptor)
    if known and json.loads((place / f"{known[-1]}.json").read_text())["shape"] == now:
        return False
    version = known[-1] + 1 if known else 1
    message = filled(descriptor)
    place.mkdir(exist_ok=True)
    (place / f"{version}.bin").write_bytes(message.SerializeToString(deterministic=True) + UNKNOWN)
    told = {"shape": now, "message": MessageToDict(message, preserving_proto_field_name=True)}
    text = json.dumps(told, indent=1, ensure_ascii=True, sort_keys=True) + "\n"
    (place / f"{version}.json").write_text(text)
    return True


def main(arguments: list[str]) -> None:
    pool = None
    if arguments:
        # Of protos as they once were: protoc --include_imports --descriptor_set_out.
        pool = DescriptorPool()
        for file in FileDescriptorSet.FromString(Path(arguments[0]).read_bytes()).file:
            pool.Add(file)
    for descriptor in events(pool):
        if record(descriptor):
            print(f"{descriptor.full_name} {versions(descriptor.full_name)[-1]}")
    assert all(re.fullmatch(r"[a-zA-Z0-9_.]+", path.name) for path in HERE.iterdir())


if __name__ == "__main__":
    main(sys.argv[1:])
