"""One aggregate in memory: its state, its head, and which requests it has answered with which sequence."""

import asyncio
from typing import Generic, TypeAlias, TypeVar

import structlog

from chassis.eventlog.shelf import Laid, Shelf
from kernel.events import Head

S = TypeVar("S")
REMEMBERED_IDS = 1024
_Whole: TypeAlias = tuple[S, dict[str, int]]
_log = structlog.get_logger("chassis.eventlog")


class Held(Generic[S]):
    """What is large of it, `whole`, lies on a shelf once it has ended: to look at it may then be Unavailable."""

    __slots__ = ("_whole", "closed", "ended", "head", "lock", "users")

    def __init__(self, state: S) -> None:
        self._whole: _Whole[S] | Laid[_Whole[S]] = (state, {})
        self.head = Head()
        self.ended = ""
        self.closed = ""
        self.lock: asyncio.Lock | None = None
        self.users = 0

    @property
    def whole(self) -> _Whole[S]:
        """State, and sequences by the ids of their events."""
        return self._whole.taken() if isinstance(self._whole, Laid) else self._whole

    @property
    def state(self) -> S:
        return self.whole[0]

    @state.setter
    def state(self, state: S) -> None:
        self._whole = (state, self.answered)

    @property
    def answered(self) -> dict[str, int]:
        return self.whole[1]

    def restore(self, state: S, head: Head, answered: dict[str, int]) -> None:
        self._whole, self.head = (state, answered), head

    def pass_over(self, sequence: int) -> None:
        """The server expects the next event behind it all the same."""
        self.head = Head(sequence, self.head.version, self.head.event_id)

    def advance(self, sequence: int, event_id: str) -> None:
        self._whole = _, answered = self.whole
        self.head = Head(sequence, self.head.version + 1, event_id)
        answered[event_id] = sequence
        if len(answered) > REMEMBERED_IDS:
            del answered[next(iter(answered))]

    def rest(self, ended: str, shelf: Shelf | None) -> None:
        """If it has ended, it goes on the shelf, where there is one and room."""
        self.ended = ended
        if ended and shelf is not None:
            try:
                self._whole = shelf.put(self.whole)
            except OSError as problem:
                _log.warning("what is over stays in memory", why=str(problem))
