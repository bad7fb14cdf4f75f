"""The tables of the view: hashes in the store that are written field by field, because one event changes so little.

Whoever holds a table as it was at some event, and is told every field that has changed since, holds it as it is.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from services.state.domain.board import SECTIONS
from services.state.domain.inbox import Inbox
from services.state.domain.plain import to_json
from services.state.domain.view import Part, Place, View

TABLES = frozenset({Part.PACKETS, Part.MESSAGES, Part.WAITING, Part.CHECKPOINTS, *map(Part, SECTIONS)})


@dataclass(frozen=True, slots=True)
class WaitingDocument:
    """What `msg:…:waiting` says of a message."""

    sequence: int
    missing: tuple[str, ...]
    """Who has not acknowledged it."""


def table_of(view: View, place: Place) -> tuple[int, dict[str, str]]:
    """The newest event that a table tells of, and every field of it."""
    sequence, fields = _fields(view, place, None)
    return sequence, {name: text for name, text in fields.items() if text is not None}


def changed_in(view: View, place: Place, names: Iterable[str]) -> tuple[int, dict[str, str | None]]:
    """The same of the fields that are named; `None` for one that is not there."""
    return _fields(view, place, sorted(names))


def _fields(view: View, place: Place, names: Iterable[str] | None) -> tuple[int, dict[str, str | None]]:
    sequence, records = _records(view, place)
    found = {name: records.get(name) for name in (records if names is None else names)}
    return sequence, {name: None if record is None else to_json(record) for name, record in found.items()}


def _records(view: View, place: Place) -> tuple[int, Mapping[str, object]]:
    key = (place.tenant, place.id)
    match place.part:
        case Part.PACKETS:
            packets = view.packets[key]
            return packets.sequence, {str(each.version): each for each in packets.event}
        case Part.CHECKPOINTS:
            checkpoints = view.checkpoints[key]
            return checkpoints.sequence, {str(each.number): each for each in checkpoints.kept}
        case Part.MESSAGES:
            inbox = view.inboxes[key]
            return inbox.sequence, {**inbox.read, **inbox.waiting}
        case Part.WAITING:
            inbox = view.inboxes[key]
            return inbox.sequence, {name: _waiting(inbox, name) for name in inbox.waiting}
        case section:
            board = view.boards[key]
            entries = board.entries.items()
            return board.sequence, {
                name: each for (of, name), each in entries if of == section and each.value
            }


def _waiting(inbox: Inbox, message_id: str) -> WaitingDocument:
    missing = tuple(sorted(inbox.missing[message_id]))
    return WaitingDocument(inbox.waiting[message_id].sequence, missing)
