"""Who makes the files of an export."""

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol

from services.ledger.domain.entry import Message
from services.ledger.domain.export import Filed, Piece, Plan


class Exporter(Protocol):
    """Makes the files of an export where that keeps nobody from being answered."""

    def files(
        self, plan: Plan, messages: AsyncGenerator[Sequence[Message], None]
    ) -> AsyncGenerator[Piece | Filed, None]:
        """Every file but checkpoint and manifest, in pieces that may alternate, and then `Filed`, once.

        The same messages give the same bytes. Reads no further ahead than it is read.

        Raises:
            Refused: Parquet is asked for, and cannot be written here.
            LedgerDiverged: the messages are not those of the plan.
            Unavailable: it cannot be done now.
        """
        ...
