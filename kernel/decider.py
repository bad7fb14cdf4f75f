"""A decider: the pure heart of an aggregate (Chassaing, "Functional Event Sourcing Decider").

`decide` turns a command into at most one event, or raises a fault; `evolve` folds an event into the state. Time, ids
and verdicts enter as data of the command, so that history replays the same for ever.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import reduce
from typing import Generic, TypeVar

State = TypeVar("State")
Command = TypeVar("Command", contravariant=True)
Event = TypeVar("Event")


def _never(_: object) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Decider(Generic[Command, State, Event]):
    """How one kind of aggregate answers commands and remembers events."""

    context: str
    aggregate: str
    initial: State
    decide: Callable[[State, Command], Event | None]
    evolve: Callable[[State, Event], State]
    ended: Callable[[State], str] = _never
    """How it has ended, in a word, once nothing more can come of it (Chassaing's `isTerminal`); empty until then."""

    def fold(self, events: Iterable[Event]) -> State:
        """The state after `events`, from the beginning."""
        return reduce(self.evolve, events, self.initial)
