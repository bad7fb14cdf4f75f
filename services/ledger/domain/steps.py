"""Events as steps: of a run that is replayed, of a chain of causes, of a watch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from services.ledger.domain.entry import Entry


@dataclass(frozen=True, slots=True)
class Step:
    """An event, and the sequence of the one that caused it, 0 if none is known."""

    entry: Entry
    caused_by: int


@dataclass(frozen=True, slots=True)
class Traced:
    """A chain of causes, oldest first; `incomplete` if it is longer, or an event that it names is not there."""

    steps: tuple[Step, ...]
    incomplete: bool


@dataclass(frozen=True, slots=True)
class Watched:
    """Events of a watch, perhaps none; everything up to the sequence `upto` has been shown with them."""

    rows: tuple[Entry, ...]
    upto: int


@dataclass(frozen=True, slots=True)
class References:
    """What an event refers to besides its headers: decisions, effects and approvals by id.

    Of an event that makes decisions: which approval each was given for, and which run it is of.
    """

    decisions: tuple[str, ...] = ()
    effects: tuple[str, ...] = ()
    approvals: tuple[str, ...] = ()
    approved: Mapping[str, str] = field(default_factory=dict)
    runs: Mapping[str, str] = field(default_factory=dict)


ReadReferences = Callable[[Entry], References]
"""Never raises: an event that cannot be read refers to nothing."""
