"""Repair: what the event log has lost of its end and the ledger still has is put back, byte for byte and in order.

Only a lost end. A log that was edited, or that has gone on without what it lost, is another history: which of the two
is right is for people to say.
"""

import asyncio
from collections.abc import Sequence

from services.ledger.domain.checkpoint import Checkpoint
from services.ledger.domain.entry import Entry, Message, entry_of
from services.ledger.domain.faults import LedgerDiverged, NothingToRepair
from services.ledger.domain.position import Position
from services.ledger.domain.proofs import Range, Slice
from services.ledger.domain.records import LogState, Repaired
from services.ledger.domain.tree import EMPTY_ROOT, HASH_BYTES, TILE_WIDTH
from services.ledger.handlers.divergence import compare_with_log
from services.ledger.handlers.roots import root_at
from services.ledger.handlers.verifying import first_difference
from services.ledger.ports.book import Book
from services.ledger.ports.log import EventStream, Mender
from services.ledger.ports.signing import Signer

ROWS_AT_ONCE = 64
MAX_BATCH = 1000
"""What the server takes in one atomic batch at most."""


class Repair:
    """Puts back the end of the log; cut short at any point, it goes on from there when it is asked again."""

    def __init__(self, book: Book, log: EventStream, signer: Signer, mender: Mender) -> None:
        self._book = book
        self._log = log
        self._signer = signer
        self._mender = mender
        self._alone = asyncio.Lock()

    async def __call__(self, *, dry_run: bool) -> Repaired:
        """What was put back, or with `dry_run` would be.

        Raises:
            NothingToRepair: the log holds all that the ledger has kept.
            LedgerDiverged: more is wrong than a lost end.
            Unavailable: no answer; ask again.
        """
        async with self._alone:
            position = await self._book.position()
            state = await self._log.state()
            await self._check(position, state)
            missing = max(state.last + 1, position.first)
            if dry_run:
                return Repaired(missing, position.last, 0)
            await self._mender.fence(f"STREAM_REGRESSION: events from {missing} on are put back")
            if await self._log.state() != state:
                raise LedgerDiverged(
                    f"somebody has written to the event log behind {state.last}; look again", missing
                )
            await self._put_back(missing, position.last)
            await compare_with_log(self._book, self._log, position, self._signer.last)
            await self._mender.lift()
            return Repaired(missing, position.last, position.last - missing + 1)

    async def _check(self, position: Position, state: LogState) -> None:
        if not position.size or state.last >= position.last:
            await compare_with_log(self._book, self._log, position, self._signer.last)
            raise NothingToRepair(position.last)
        if state.last == 0 and position.first != 1:
            raise LedgerDiverged(
                f"the event log is empty and would begin at 1; the ledger has kept it from {position.first} on",
                position.first,
            )
        if state.last and state.first != position.first:
            raise LedgerDiverged(
                f"the event log begins at {state.first}, the ledger has kept it from {position.first} on: "
                "only a lost end can be put back",
                min(state.first, position.first),
            )
        differs = await first_difference(self._book, self._log, position.first, state.last)
        if differs:
            raise LedgerDiverged(
                f"event {differs} of the log is not the one the ledger has kept: only a lost end can be put back",
                differs,
            )
        await self._check_own(position, max(state.last + 1, position.first))

    async def _check_own(self, position: Position, missing: int) -> None:
        """What is put back must be what was signed."""
        last = self._signer.last
        signed = Checkpoint("", 0, EMPTY_ROOT) if last is None else last.checkpoint
        if signed.size > position.size or await root_at(self._book, Range(0, signed.size)) != signed.root:
            raise LedgerDiverged("the ledger's own tree is not the one that was signed: rebuild it first")
        begin = missing
        while begin <= position.last:
            index = begin - position.first
            count = min(ROWS_AT_ONCE, TILE_WIDTH - index % TILE_WIDTH)
            rows = await self._rows(begin, position.last, count)
            (leaves,) = await self._book.hashes([Slice(0, index, len(rows))])
            for n, row in enumerate(rows):
                made = entry_of(_message(row))
                if made != row or made.leaf_hash != leaves[n * HASH_BYTES : (n + 1) * HASH_BYTES]:
                    raise LedgerDiverged(
                        f"the ledger's own row {row.sequence} does not hold; it is not put back", row.sequence
                    )
            begin += len(rows)

    async def _put_back(self, first: int, last: int) -> None:
        begin, count = first, ROWS_AT_ONCE
        while begin <= last:
            put = await self._mender.republish(
                [_message(row) for row in await self._rows(begin, last, count)]
            )
            if not put and count >= MAX_BATCH:
                raise LedgerDiverged(f"the end of the batch that begins with event {begin} is missing", begin)
            begin, count = begin + put, ROWS_AT_ONCE if put else MAX_BATCH

    async def _rows(self, begin: int, last: int, count: int) -> Sequence[Entry]:
        upto = min(begin + count - 1, last)
        rows = await self._book.rows(begin, upto)
        for sequence, row in zip(range(begin, upto + 1), [*rows, None], strict=False):
            if row is None or row.sequence != sequence:
                raise LedgerDiverged(f"the ledger's own row {sequence} is missing", sequence)
        return rows


def _message(row: Entry) -> Message:
    return Message(row.sequence, row.subject, row.header, row.payload)
