"""Tells state's aggregates where their events stand in the log.

What is read from the log comes with its sequence. What this process appends itself is folded by the event that was
decided: here it is given the sequence that the log answered.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from kernel.decider import Decider
from kernel.events import Appended, Cause, Head, Recorded, Stream
from kernel.ports import EventLog, Guard
from services.state.domain.sequenced import Sequenced

C = TypeVar("C")
S = TypeVar("S")
E = TypeVar("E")


class SequencingLog:
    """An event log that remembers, for the fold that follows an append at once, where the event came to stand."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._newest: Sequenced[object] | None = None

    async def append(
        self,
        stream: Stream,
        events: Sequence[object],
        *,
        after: Head,
        cause: Cause,
        guard: Guard | None = None,
    ) -> Appended:
        appended = await self._log.append(stream, events, after=after, cause=cause, guard=guard)
        self._newest = Sequenced(events[-1], appended.sequence)
        return appended

    async def load(self, stream: Stream) -> Sequence[Recorded]:
        return await self._log.load(stream)

    async def last_sequence(self) -> int:
        return await self._log.last_sequence()

    def decider(self, decider: Decider[C, S, E]) -> Decider[C, S, E]:
        """`decider`, folding every event as a `Sequenced` one."""

        def evolve(state: S, event: E) -> S:
            return decider.evolve(state, self._placed(event))

        return replace(decider, evolve=evolve)

    def _placed(self, event: E) -> E:
        if isinstance(event, Sequenced):
            return event
        # No other task runs between the answer of an append and the fold of its event.
        assert self._newest is not None, "only an event that was appended is folded"
        assert self._newest.event is event, "only an event that was appended is folded"
        return self._newest  # type: ignore[return-value]
