"""Exporting: everything under the newest signed head as files, signed once they have proved whole."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing

from services.ledger.domain import export
from services.ledger.domain.entry import Message
from services.ledger.domain.export import Filed, Piece, Plan
from services.ledger.domain.faults import ExportRunning, LedgerDiverged
from services.ledger.domain.position import Position
from services.ledger.domain.records import SignedHead
from services.ledger.ports.book import Book
from services.ledger.ports.exporting import Exporter
from services.ledger.ports.signing import Signer

_ROWS_AT_ONCE = 16  # a payload may have megabytes


class Exports:
    """One at a time. Exports of one head are the same, byte for byte, but for witnesses that signed the head later."""

    def __init__(
        self,
        book: Book,
        signer: Signer,
        exporter: Exporter,
        head: Callable[[], Awaitable[SignedHead]],
        position: Callable[[], Position],
    ) -> None:
        self._book = book
        self._signer = signer
        self._exporter = exporter
        self._head = head
        self._position = position
        self._running = False

    async def export(
        self, *, parquet: bool, events_per_file: int = export.EVENTS_PER_FILE
    ) -> AsyncGenerator[tuple[Piece, int], None]:
        """Files in pieces, and how many events there are in all.

        The checkpoint and the manifest come last, and only if the tree of what was exported is the one that is signed.

        Raises:
            ExportRunning: wait for it.
            LedgerBehind: no head is signed yet.
            LedgerDiverged: what is kept is not what was signed.
            Unavailable: no database, or no process.
        """
        if self._running:
            raise ExportRunning
        self._running = True
        try:
            head = await self._head()
            plan = Plan(head.checkpoint, self._position().first, parquet, events_per_file)
            async with aclosing(self._exporter.files(plan, self._messages(plan))) as files:
                async for each in files:
                    if isinstance(each, Filed):
                        break
                    yield each, plan.head.size
                else:
                    raise LedgerDiverged("the export did not come to an end")
            if each.root != plan.head.root:
                raise LedgerDiverged("the events kept do not give the root that is signed: verify the ledger")
            note = await self._signer.sign_export(plan, head, each.sums)
            yield Piece(export.CHECKPOINT, head.note.encode(), plan.head.size), plan.head.size
            yield Piece(export.MANIFEST, note.encode(), plan.head.size), plan.head.size
        finally:
            self._running = False

    async def _messages(self, plan: Plan) -> AsyncGenerator[Sequence[Message], None]:
        end = plan.first + plan.head.size
        for at in range(plan.first, end, _ROWS_AT_ONCE):
            wanted = range(at, min(at + _ROWS_AT_ONCE, end))
            rows = await self._book.rows(wanted[0], wanted[-1])
            found = [each.sequence for each in rows]
            if found != list(wanted):
                missing = next(each for each in wanted if each not in found)
                raise LedgerDiverged(f"row {missing} is missing: verify the ledger", missing)
            yield [Message(each.sequence, each.subject, each.header, each.payload) for each in rows]
