"""An event together with where it stands in the log: some facts are only whole with their place."""

from dataclasses import dataclass
from typing import Generic, TypeVar

Event = TypeVar("Event")


@dataclass(frozen=True, slots=True)
class Sequenced(Generic[Event]):
    event: Event
    sequence: int
