"""An event together with where it stands in the log: some facts are only whole with their place."""

from dataclasses import dataclass
from typing import Generic, TypeVar

Event = TypeVar("Event")


@dataclass(frozen=True, slots=True)
class Sequenced(Generic[Event]):
    event: Event
    sequence: int


def placed(event: Event | Sequenced[Event]) -> tuple[Event, int]:
    """The event itself and where it stands; 0 when that is not told."""
    return (event.event, event.sequence) if isinstance(event, Sequenced) else (event, 0)
