"""Messages as JSON Schema (draft 7), as protobuf's JSON mapping spells them, with the protos' own field names."""

from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from provost.event.v1 import privacy_pb2

Schema = dict[str, Any]
SEALED = "personal: `sealed:v1:…` where the run has a subject"
_F = FieldDescriptor
_NUMBER_AS_TEXT: Schema = {"type": "string", "pattern": "^-?[0-9]+$"}
_SCALARS: dict[int, Schema] = {
    _F.CPPTYPE_INT32: {"type": "integer"},
    _F.CPPTYPE_UINT32: {"type": "integer", "minimum": 0},
    _F.CPPTYPE_INT64: _NUMBER_AS_TEXT,
    _F.CPPTYPE_UINT64: _NUMBER_AS_TEXT,
    _F.CPPTYPE_DOUBLE: {"type": ["number", "string"], "description": "NaN and Infinity as text"},
    _F.CPPTYPE_FLOAT: {"type": ["number", "string"], "description": "NaN and Infinity as text"},
    _F.CPPTYPE_BOOL: {"type": "boolean"},
}
_KNOWN: dict[str, Schema] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Duration": {"type": "string", "pattern": "^-?[0-9]+(\\.[0-9]+)?s$"},
    "google.protobuf.Struct": {"type": "object"},
    "google.protobuf.Value": {},
    "google.protobuf.ListValue": {"type": "array"},
}


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def schema_of(message: Descriptor) -> Schema:
    """The JSON form of a message. A field that has its default is left out, so none is required."""
    fields = {field.name: _field(field) for field in message.fields}
    return {"type": "object", "properties": fields} if fields else {"type": "object"}


def parts_of(message: Descriptor) -> Iterator[Descriptor]:
    """The message, and all that it is made of; one twice when it is there twice."""
    seen: set[str] = set()
    left = [message]
    while left:
        each = left.pop()
        if each.full_name in seen or each.full_name in _KNOWN:
            continue
        seen.add(each.full_name)
        if not each.GetOptions().map_entry:
            yield each
        left += [field.message_type for field in each.fields if field.message_type is not None]


def _field(field: FieldDescriptor) -> Schema:
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        made: Schema = {"type": "object", "additionalProperties": _single(kind.fields_by_name["value"])}
    elif field.is_repeated:
        made = {"type": "array", "items": _single(field)}
    else:
        made = dict(_single(field))
    if field.GetOptions().Extensions[privacy_pb2.personal]:
        made["description"] = SEALED
    return made


def _single(field: FieldDescriptor) -> Schema:
    if field.message_type is not None:
        return _KNOWN.get(field.message_type.full_name) or ref(field.message_type.full_name)
    if field.enum_type is not None:
        return {"type": "string", "enum": [value.name for value in field.enum_type.values]}
    if field.type == _F.TYPE_BYTES:
        return {"type": "string", "contentEncoding": "base64"}
    return _SCALARS.get(field.cpp_type, {"type": "string"})
