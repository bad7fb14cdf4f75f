"""The blackboard of a task: what its agents know together, entry by entry (Hayes-Roth, "A Blackboard Architecture").

An entry is whole and versioned. Whoever builds on what it read says which version that was, and is refused if another
has written since, so that no update is lost. An entry is taken off the board by an empty value; its versions go on.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import TypeAlias

from kernel.decider import Decider
from kernel.events import require_token
from services.state.domain.bounds import require_agent_id, require_json, require_name
from services.state.domain.faults import (
    BoardFull,
    EntryChanged,
    EntryTooLarge,
    EntryUnknown,
    FieldInvalid,
    RecipientUnknown,
)
from services.state.domain.labels import Labelling
from services.state.domain.sequenced import Sequenced, placed

SECTIONS = ("problem", "solutions", "progress", "consensus")
MAX_VALUE_BYTES = 64 * 1024
MAX_ENTRIES = 1000
MAX_BOARD_BYTES = 4 * 1024 * 1024

# wants


@dataclass(frozen=True, slots=True)
class PutEntry:
    task_id: str
    section: str
    key: str
    value: str
    author: str
    expected_version: int | None
    """The version that was read; 0 when nothing was there; `None` writes over whatever is there."""
    labels: tuple[str, ...]
    labelling: Labelling
    crew: frozenset[str]
    """Who may write on it: who works on the task, as far as state knows, and a person that writes itself."""
    at: datetime
    run_id: str = ""
    """Which run of the author writes; its newest if it does not say."""


# facts


@dataclass(frozen=True, slots=True)
class Entry:
    task_id: str
    section: str
    key: str
    value: str
    author: str
    version: int
    at: datetime
    labels: tuple[str, ...] = ()
    sequence: int = 0


@dataclass(frozen=True, slots=True)
class EntryPut:
    entry: Entry


Event: TypeAlias = EntryPut
Name: TypeAlias = tuple[str, str]
"""Section and key."""

# state


@dataclass(frozen=True, slots=True)
class Board:
    entries: MappingProxyType[Name, Entry] = field(default_factory=lambda: MappingProxyType({}))
    """The latest of those that were taken off, too: their versions must not begin anew."""
    n_entries: int = 0
    """Those that are on the board."""
    n_bytes: int = 0
    sequence: int = 0
    forgotten: int = 0
    """The highest version of an entry that was taken off and is not known any more: none begins below it."""

    def entry(self, section: str, key: str) -> Entry | None:
        """The entry, if there is one on the board."""
        found = self.entries.get((section, key))
        return found if found is not None and found.value else None

    def in_section(self, section: str) -> Iterator[Entry]:
        """The entries on the board of one section, or of all when it is empty, in no particular order."""
        return (each for (of, _), each in self.entries.items() if each.value and section in ("", of))


# decide


def decide(board: Board, command: PutEntry) -> EntryPut | None:
    """The entry written; `None` when it stands there already, word for word, from the same author.

    Raises:
        Invalid: a field is out of bounds, or the value is no JSON.
        EntryChanged: another has written since.
        EntryUnknown: what is to be taken off is not there.
        EntryTooLarge, BoardFull: there is no room for it.
        LabelUnknown: the policy set does not have the label.
        RecipientUnknown: the author does not work on the task.
    """
    require_token(command.task_id, "task_id")
    if command.section not in SECTIONS:
        raise FieldInvalid("section", f"must be one of {', '.join(SECTIONS)}")
    require_name(command.key, "key")
    require_agent_id(command.author, "agent_id")
    labels = command.labelling.of(command.labels)
    n_bytes = _require_json(command.value)
    if command.author not in command.crew:
        raise RecipientUnknown("agent_id", command.author, command.task_id)
    old = board.entries.get((command.section, command.key))
    version = old.version if old is not None else board.forgotten
    # Not for a version behind: who asks again bears the same request id, and two may well write the same on the same.
    if command.expected_version in {None, version} and old is not None and _same(old, command, labels):
        return None
    if not command.value and (old is None or not old.value):
        raise EntryUnknown(command.section, command.key)
    standing = version if old is not None and old.value else 0
    if command.expected_version is not None and command.expected_version not in {version, standing}:
        raise EntryChanged(command.section, command.key, command.expected_version, version)
    if old is None and board.n_entries >= MAX_ENTRIES:
        raise BoardFull(command.task_id, f"{MAX_ENTRIES} entries")
    if board.n_bytes + n_bytes - _size(old) > MAX_BOARD_BYTES:
        raise BoardFull(command.task_id, f"{MAX_BOARD_BYTES} bytes")
    return EntryPut(
        Entry(
            command.task_id,
            command.section,
            command.key,
            command.value,
            command.author,
            version + 1,
            command.at,
            labels,
        )
    )


def _same(old: Entry, command: PutEntry, labels: tuple[str, ...]) -> bool:
    return (old.value, old.author, old.labels) == (command.value, command.author, labels)


def _require_json(value: str) -> int:
    """The length of `value` in bytes; empty is none, and takes an entry off."""
    n_bytes = len(value.encode())
    if n_bytes > MAX_VALUE_BYTES:
        raise EntryTooLarge(n_bytes, MAX_VALUE_BYTES)
    if value:
        require_json(value, "value", "must be JSON, or empty to take the entry off")
    return n_bytes


def _size(entry: Entry | None) -> int:
    return 0 if entry is None else len(entry.value.encode())


# evolve


def evolve(board: Board, event: Event | Sequenced[Event]) -> Board:
    """`board` after `event`."""
    told, sequence = placed(event)
    entry = replace(told.entry, sequence=sequence)
    name = entry.section, entry.key
    old = board.entries.get(name)
    n_entries = board.n_entries + bool(entry.value) - bool(old is not None and old.value)
    n_bytes = board.n_bytes + _size(entry) - _size(old)
    entries, forgotten = board.entries | {name: entry}, board.forgotten
    if len(entries) > MAX_ENTRIES:  # room for the new one is where another was taken off
        gone = next(each for each, entry in entries.items() if not entry.value)
        forgotten = max(forgotten, entries.pop(gone).version)
    return Board(MappingProxyType(entries), n_entries, n_bytes, sequence, forgotten)


BOARD: Decider[PutEntry, Board, Event | Sequenced[Event]] = Decider("state", "board", Board(), decide, evolve)
