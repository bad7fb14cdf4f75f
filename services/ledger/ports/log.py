"""The event log, as the ledger follows it and as it is repaired."""

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol

from services.ledger.domain.entry import Message
from services.ledger.domain.records import LogState


class EventStream(Protocol):
    """The event log as the ledger reads it: messages as published."""

    async def state(self) -> LogState:
        """Raises Unavailable: no answer."""
        ...

    async def message(self, sequence: int) -> Message | None:
        """The message at `sequence`; None when there is none. Raises Unavailable: no answer."""
        ...

    def read(self, after: int, upto: int) -> AsyncGenerator[Sequence[Message], None]:
        """Everything behind `after` up to `upto`, in order and without a gap; waits for what is still to come.

        Raises:
            StreamRegression: something is missing that was there or must have been.
            Unavailable: no answer.
        """
        ...


class Mender(Protocol):
    """The event log as whoever repairs it writes it. Everything may raise Unavailable: no answer; repeat."""

    async def fence(self, why: str) -> None:
        """From when this returns nobody else can append, until `lift`, whoever is started again meanwhile."""
        ...

    async def lift(self) -> None:
        """Everybody can append again; harmless when there is no fence."""
        ...

    async def republish(self, messages: Sequence[Message]) -> int:
        """Put back messages that follow the log's end, as they were published; how many were.

        Fewer than all when they end within an atomic batch, none when they are but a part of one. What is put back
        before it fails stays.

        Raises:
            LedgerDiverged: one was refused, or did not get its sequence.
        """
        ...
