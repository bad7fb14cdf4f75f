"""What the ledger understands of other services' payloads, each read once. What it cannot read it passes over."""

import importlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from services.ledger.domain.entry import Entry
from services.ledger.domain.facts import Fact
from services.ledger.domain.terms import NO_LINKS, Links
from services.ledger.domain.understood import NOTHING, Understood
from services.ledger.wire.facts import FACTS

_CONTEXTS = ("gateway", "orchestrator", "policy", "state")
# The agent of a handoff is the one whose work it hands on.
_NAMES = (("agent_id", "previous_agent_id"), ("run_id",), ("task_id",))

_Path = tuple[str, str]
"""A field; and, if that is a message or several, the field in there."""


class _Kind(NamedTuple):
    """A type of event."""

    name: str
    mark: bytes
    parse: Callable[[bytes], Any]
    paths: tuple[tuple[_Path, ...], ...]
    fact: Callable[[Any], Fact | None] | None


def understand(entry: Entry) -> Understood:
    """What an event says that the ledger understands. Never raises."""
    kind = _KINDS.get((entry.context, entry.event_type))
    if kind is None:
        return NOTHING
    # Looked for as the chassis writes it first: splitting all headers costs more than reading the payload.
    if kind.mark not in entry.header and entry.headers.get("ce-type") != kind.name:
        return NOTHING
    try:
        message = kind.parse(entry.payload)
    except DecodeError:
        return NOTHING
    links = Links(*(tuple(_values(message, paths)) for paths in kind.paths))
    return Understood(None if kind.fact is None else kind.fact(message), links if any(links) else NO_LINKS)


def _values(message: Any, paths: tuple[_Path, ...]) -> Iterator[str]:
    for field, inner in paths:
        value = getattr(message, field)
        if not inner:
            if value:
                yield value
            continue
        for each in value if hasattr(value, "__len__") else (value,):
            if found := getattr(each, inner):
                yield found


def _kinds() -> Iterator[tuple[tuple[str, str], _Kind]]:
    for context in _CONTEXTS:
        events = importlib.import_module(f"provost.{context}.v1.events_pb2").DESCRIPTOR
        for name, descriptor in events.message_types_by_name.items():
            full_name = descriptor.full_name
            known = GetMessageClass(descriptor)
            paths = tuple(tuple(_paths(descriptor, names)) for names in _NAMES)
            if any(paths) or known in FACTS:
                mark = b"\r\nce-type: %b\r\n" % full_name.encode()
                yield (context, name), _Kind(full_name, mark, known.FromString, paths, FACTS.get(known))


def _paths(descriptor: Descriptor, names: tuple[str, ...]) -> Iterator[_Path]:
    for field in descriptor.fields:
        if field.name in names:
            yield field.name, ""
        elif field.type == FieldDescriptor.TYPE_MESSAGE and not field.message_type.GetOptions().map_entry:
            for inner in field.message_type.fields:
                if inner.name in names:
                    yield field.name, inner.name


_KINDS: dict[tuple[str, str], _Kind] = dict(_kinds())
"""Which types of events there are, by context and short name. Those of no interest are left out."""
