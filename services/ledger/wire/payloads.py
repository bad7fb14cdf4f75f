"""Payloads read for people: the one place where what an event holds is made a message to be shown."""

import importlib

from google.protobuf import descriptor_pool, json_format
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

_CONTEXTS = ("gateway", "ledger", "orchestrator", "policy", "state")
_FILES = (*(f"provost.{context}.v1.events_pb2" for context in _CONTEXTS), "provost.event.v1.keys_pb2")
_EVENTS = frozenset(
    descriptor.full_name
    for file in _FILES
    for descriptor in importlib.import_module(file).DESCRIPTOR.message_types_by_name.values()
)
_MAX_JSON_BYTES = 512 * 1024


def shown(type_name: str, payload: bytes) -> Message | None:
    """The payload of an event as it may be shown; None when it is not one of ours, or cannot be read."""
    if type_name not in _EVENTS:
        return None
    kind = GetMessageClass(descriptor_pool.Default().FindMessageTypeByName(type_name))
    try:
        return kind.FromString(payload)
    except DecodeError:
        return None


def payload_json(type_name: str, payload: bytes) -> str:
    """The payload as JSON with the protos' field names; empty when it cannot be read, or is large."""
    message = shown(type_name, payload) if len(payload) <= _MAX_JSON_BYTES else None
    if message is None:
        return ""
    try:
        text: str = json_format.MessageToJson(message, preserving_proto_field_name=True, indent=None)
    except (json_format.SerializeToJsonError, ValueError):
        return ""
    return text if len(text) <= _MAX_JSON_BYTES else ""
