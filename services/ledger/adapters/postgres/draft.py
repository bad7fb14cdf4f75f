"""A draft: tables in a schema of their own, filled quickly, that then take the place of the book's.

Made, indexed, published and removed by functions of the database, since they are their owner's.
"""

from collections.abc import Awaitable, Callable, Sequence

from services.ledger.adapters.postgres.connection import Database
from services.ledger.adapters.postgres.definition import DRAFT, KEEPER
from services.ledger.adapters.postgres.heads import keep_head
from services.ledger.adapters.postgres.reader import Reader
from services.ledger.adapters.postgres.writer import Writer, stands_by
from services.ledger.domain.entry import Message
from services.ledger.domain.faults import LedgerDiverged
from services.ledger.domain.position import Position
from services.ledger.domain.proofs import Slice
from services.ledger.domain.records import SignedHead
from services.ledger.domain.understood import Understand

LOCK = 2


class PostgresDraft:
    """Implements `ports.Draft`; `take_place` puts it in the place of the book's."""

    def __init__(
        self, database: Database, understand: Understand, take_place: Callable[[], Awaitable[None]]
    ) -> None:
        self._writer = Writer(database, DRAFT, LOCK, understand, durable=False)
        self._reader = Reader(database, DRAFT)
        self._take_place = take_place
        self._open = True

    async def begin(self) -> None:
        """Make its tables, or go on with those that an earlier one has left, if they add up.

        Raises:
            Unavailable: another replica has a draft.
        """
        try:
            if not await self._writer.leads():
                raise stands_by()
            await self._writer.fetch(f"SELECT {KEEPER}.make_draft(true)")
            try:
                await self._writer.position()
            except LedgerDiverged:
                await self._writer.fetch(f"SELECT {KEEPER}.make_draft(false)")
        except BaseException:
            await self.close()
            raise

    async def position(self) -> Position:
        return await self._writer.position()

    async def append(self, messages: Sequence[Message]) -> Position:
        position = await self._writer.append(messages)
        if position is None:
            raise stands_by()
        return position

    async def hashes(self, slices: Sequence[Slice]) -> list[bytes]:
        return await self._reader.hashes(slices)

    async def keep_head(self, head: SignedHead) -> None:
        await keep_head(self._writer, head)

    async def finish(self) -> None:
        await self._writer.fetch(f"SELECT {KEEPER}.finish_draft()")

    async def publish(self) -> None:
        await self._take_place()
        await self.close()

    async def close(self) -> None:
        self._open = False
        await self._reader.close()
        await self._writer.close()

    async def discard(self) -> None:
        if self._open:
            await self._writer.fetch(f"SELECT {KEEPER}.drop_draft()")
        await self.close()
