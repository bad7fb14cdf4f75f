"""What the ledger understands of other services' payloads, each read once. What it cannot read it passes over."""

import importlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from chassis.eventlog.codec import Upcasts
from chassis.eventlog.headers import REPUBLISHED
from services.ledger.domain.entry import Entry
from services.ledger.domain.facts import Decided, Fact
from services.ledger.domain.terms import Links
from services.ledger.domain.understood import NOTHING, Understood
from services.ledger.wire.facts import FACTS
from services.ledger.wire.upcasts import UPCASTS

_CONTEXTS = ("gateway", "orchestrator", "policy", "state")
# The agent of a handoff is the one whose work it hands on.
_NAMES = (("agent_id", "previous_agent_id"), ("run_id",), ("task_id",))

_Ids = Callable[[Any], tuple[str, ...]]
"""The ids of one kind that a payload names."""


class Kind(NamedTuple):
    """A type of event."""

    name: str
    mark: bytes
    parse: Callable[[bytes], Any]
    agents: _Ids
    runs: _Ids
    tasks: _Ids
    fact: Callable[[Any], Fact | None] | None


def understand(entry: Entry) -> Understood:
    """What an event says that the ledger understands. Never raises."""
    kind = _KINDS.get((entry.context, entry.event_type))
    if kind is None or REPUBLISHED in entry.header:
        return NOTHING
    name, mark, parse, agents, runs, tasks, fact = kind
    # Looked for as the chassis writes it first: splitting all headers costs more than reading the payload. Of a message
    # that says something twice nothing counts, its id neither.
    if (not entry.event_id or mark not in entry.header) and entry.headers.get("ce-type") != name:
        return NOTHING
    try:
        message = parse(entry.payload)
    except DecodeError:
        return NOTHING
    links = _links((agents(message), runs(message), tasks(message), (), ()))
    told = None if fact is None else fact(message)
    if isinstance(told, Decided):
        links = links._replace(
            actions=tuple({each.action for each in told.decisions}),
            decisions=tuple({each.verdict for each in told.decisions}),
        )
    return _understood((told, links))


# Their own constructors, written in Python, take three times as long.
_links: Callable[[tuple[object, ...]], Links] = partial(tuple.__new__, Links)
_understood: Callable[[tuple[object, ...]], Understood] = partial(tuple.__new__, Understood)


def kinds(upcasts: Upcasts) -> Iterator[tuple[tuple[str, str], Kind]]:
    """Every type of event that says something, by context and short name."""
    for context in _CONTEXTS:
        events = importlib.import_module(f"provost.{context}.v1.events_pb2").DESCRIPTOR
        for name, descriptor in events.message_types_by_name.items():
            full_name = descriptor.full_name
            published = GetMessageClass(descriptor)
            today = upcasts.target(published)
            shape: Descriptor = today.DESCRIPTOR  # type: ignore[assignment]
            agents, runs, tasks = (_ids(shape, names) for names in _NAMES)
            if {agents, runs, tasks} != {_none} or today in FACTS:
                mark = b"\r\nce-type: %b\r\n" % full_name.encode()
                parse, fact = upcasts.parser(published), FACTS.get(today)
                yield (context, name), Kind(full_name, mark, parse, agents, runs, tasks, fact)


def _none(_: Any) -> tuple[str, ...]:
    return ()


def _ids(descriptor: Any, names: tuple[str, ...]) -> _Ids:
    """Reads fields called one of `names`, in the payload or in messages right in it."""
    here, there = [], []
    for field in descriptor.fields:
        if field.name in names:
            here.append(field.name)
        elif field.type == FieldDescriptor.TYPE_MESSAGE and not field.message_type.GetOptions().map_entry:
            there += [(field.name, inner.name) for inner in field.message_type.fields if inner.name in names]
    if not here and not there:
        return _none
    if len(here) == 1 and not there:
        (only,) = here

        def one(message: Any) -> tuple[str, ...]:
            value = getattr(message, only)
            return (value,) if value else ()

        return one

    def several(message: Any) -> tuple[str, ...]:
        found = {getattr(message, name) for name in here}
        for name, inner in there:
            value = getattr(message, name)
            found.update(getattr(each, inner) for each in (value if hasattr(value, "__len__") else (value,)))
        return tuple(sorted(found - {""}))

    return several


_KINDS: dict[tuple[str, str], Kind] = dict(kinds(UPCASTS))
"""Which types of events there are, by context and short name. Those of no interest are left out."""
