"""How far the ledger is, the newest head it has signed, and why it goes no further if it does not. Wakes who waits."""

import asyncio
from collections.abc import Callable

from kernel.faults import Fault
from services.ledger.domain.faults import LedgerBehind
from services.ledger.domain.position import Position
from services.ledger.domain.records import SignedHead


class Reached:
    """What keeping writes and everybody else reads; `moved` comes behind every change that somebody may wait for."""

    def __init__(self) -> None:
        self.position = Position()
        self.head: SignedHead | None = None
        self.diverged: Fault | None = None
        self._moved = asyncio.Event()

    def covers(self, head: SignedHead, sequence: int) -> bool:
        """Whether the event at `sequence` is in the tree of `head`."""
        return self.position.index_of(sequence) < head.checkpoint.size

    def go_on(self) -> None:
        """Raises LedgerDiverged or StreamRegression: nothing goes on."""
        if self.diverged is not None:
            raise self.diverged

    def moved(self) -> None:
        """Let whoever waits look again."""
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    async def until(self, there: Callable[[], bool], sequence: int, timeout_seconds: float | None) -> None:
        """Wait until `there` holds, which is about `sequence`; None is for ever.

        Raises:
            LedgerBehind: not in time.
            LedgerDiverged, StreamRegression: it never will.
        """
        try:
            async with asyncio.timeout(timeout_seconds):
                while True:
                    self.go_on()
                    if there():
                        return
                    await self._moved.wait()
        except TimeoutError:
            raise LedgerBehind(sequence, self.position.last) from None
