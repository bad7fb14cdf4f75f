"""How far the ledger is in the event log, and which tree it has come to."""

from dataclasses import dataclass

from services.ledger.domain.tree import EMPTY_ROOT


@dataclass(frozen=True, slots=True)
class Position:
    """First and last sequence kept, and the root over all of them; 0 and 0 when there is nothing yet."""

    first: int = 0
    last: int = 0
    root: bytes = EMPTY_ROOT

    @property
    def size(self) -> int:
        """The number of leaves."""
        return self.last - self.first + 1 if self.first else 0

    def index_of(self, sequence: int) -> int:
        """The leaf of a sequence: nothing is ever skipped, so it follows from where the ledger began."""
        return sequence - self.first
