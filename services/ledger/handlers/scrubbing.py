"""The scrubber: goes over the whole book, for ever, a slice at a time, and says what no longer holds.

Each slice is a tile's worth of rows: every row against what it is made of, its leaf against the tile, tiles against
each other and against the signed heads that end there, and each leaf against the event log.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime

from kernel.faults import Unavailable
from services.ledger.domain.audit import Finding
from services.ledger.domain.checkpoint import MalformedNote
from services.ledger.domain.entry import Entry, Message, entry_of
from services.ledger.domain.faults import LedgerDiverged
from services.ledger.domain.position import Position
from services.ledger.domain.proofs import Range, Slice
from services.ledger.domain.records import SignedHead
from services.ledger.domain.tree import HASH_BYTES, TILE_WIDTH, subtree_root
from services.ledger.handlers.divergence import check_ends, not_the_same
from services.ledger.handlers.roots import root_at
from services.ledger.ports.book import Book
from services.ledger.ports.log import EventStream
from services.ledger.ports.memory import ScrubMemory
from services.ledger.ports.signing import Signer

ROWS_AT_ONCE = 32
LOG_SECONDS = 30.0


class Scrubber:
    """One slice per `step`; where it is, is kept in `memory`."""

    def __init__(
        self,
        book: Book,
        log: EventStream,
        signer: Signer,
        position: Callable[[], Position],
        memory: ScrubMemory,
    ) -> None:
        self._book = book
        self._log = log
        self._signer = signer
        self._position = position
        self._memory = memory
        self._heads: Sequence[SignedHead] | None = None
        self.scrubbed = memory.load()

    @property
    def slices(self) -> int:
        """How many steps one pass takes now."""
        return -(-self._position().size // TILE_WIDTH)

    def finding(self) -> Finding:
        """How far it is, for whoever verifies."""
        position, scrubbed = self._position(), self.scrubbed
        done = max(0, scrubbed.next - position.first)
        ended = (
            f", the last one ended {scrubbed.finished_at:%Y-%m-%d %H:%M:%S}" if scrubbed.finished_at else ""
        )
        return Finding(
            "scrubber", True, f"{done} of {position.size} rows of pass {scrubbed.passes + 1}{ended}"
        )

    def forget(self) -> None:
        """The book is another one: look at its heads anew."""
        self._heads = None

    async def step(self, at: datetime) -> None:
        """Check the next slice; after the last one, the next is the first again. One that fails stays the next.

        Raises:
            LedgerDiverged, StreamRegression: what no longer holds, by its first sequence.
            Unavailable: the log or the database does not answer.
        """
        position, scrubbed = self._position(), self.scrubbed
        end = await self.look()
        if not end:
            return
        done = end == position.size
        self.scrubbed = replace(
            scrubbed,
            next=position.first + (0 if done else end),
            passes=scrubbed.passes + done,
            finished_at=at if done else scrubbed.finished_at,
        )
        self._memory.keep(self.scrubbed)

    async def look(self) -> int:
        """Check the next slice and stay there; how many leaves end with it. Raises as `step`."""
        position = self._position()
        if not position.size:
            return 0
        index = self.scrubbed.next - position.first
        if not 0 <= index < position.size:
            index = 0
        if index == 0 or self._heads is None:
            self._heads = await self._book.heads()
        begin = index - index % TILE_WIDTH
        end = min(begin + TILE_WIDTH, position.size)
        check_ends(position, await self._log.state())
        await self._rows(position, begin, end)
        await self._tiles(begin // TILE_WIDTH, position)
        await self._signed(position, begin, end)
        return end

    async def _rows(self, position: Position, begin: int, end: int) -> None:
        first, last = position.first + begin, position.first + end - 1
        (leaves,) = await self._book.hashes([Slice(0, begin, end - begin)])
        logged = await self._logged(first, last)
        for at in range(first, last + 1, ROWS_AT_ONCE):
            upto = min(at + ROWS_AT_ONCE - 1, last)
            rows = {row.sequence: row for row in await self._book.rows(at, upto)}
            for sequence in range(at, upto + 1):
                offset = (sequence - first) * HASH_BYTES
                leaf = leaves[offset : offset + HASH_BYTES]
                row = rows.get(sequence)
                _check(sequence, row, leaf)
                if logged.get(sequence) != leaf:
                    raise not_the_same(sequence, row, await self._log.message(sequence))
            await asyncio.sleep(0)  # whoever has something to do comes first

    async def _logged(self, first: int, last: int) -> dict[int, bytes]:
        found: dict[int, bytes] = {}
        try:
            async with asyncio.timeout(LOG_SECONDS), aclosing(self._log.read(first - 1, last)) as read:
                async for messages in read:
                    for message in messages:
                        found[message.sequence] = entry_of(message).leaf_hash
                    await asyncio.sleep(0)
        except TimeoutError:
            raise Unavailable("LOG_UNREACHABLE", "the event log is too slow; try again") from None
        return found

    async def _tiles(self, index: int, position: Position) -> None:
        """A full tile's root must be the hash in the tile above, and so on upwards where those are full as well."""
        level, width = 0, TILE_WIDTH
        while (index + 1) * width <= position.size:
            parts = [Slice(level, index * TILE_WIDTH, TILE_WIDTH), Slice(level + 1, index, 1)]
            hashes, above = await self._book.hashes(parts)
            if len(hashes) != TILE_WIDTH * HASH_BYTES or subtree_root(hashes) != above:
                sequence = position.first + index * width
                raise LedgerDiverged(
                    f"tile {level}/{index} and the one above it do not fit: row {sequence} and on", sequence
                )
            if (index + 1) % TILE_WIDTH:
                return
            level, index, width = level + 1, index // TILE_WIDTH, width * TILE_WIDTH

    async def _signed(self, position: Position, begin: int, end: int) -> None:
        for head in self._heads or ():
            size = head.checkpoint.size
            if not begin < size <= end:
                continue
            last = position.first + size - 1
            try:
                opened = self._signer.opens(head.note)
            except MalformedNote as problem:
                raise LedgerDiverged(f"the head over {size} leaves: {problem.text}", last) from None
            if opened != head.checkpoint or await root_at(self._book, Range(0, size)) != opened.root:
                raise LedgerDiverged(
                    f"the head signed over {size} leaves has another root than the tree", last
                )


def _check(sequence: int, row: Entry | None, leaf: bytes) -> None:
    if row is None:
        raise LedgerDiverged(
            f"row {sequence} is missing: a row with leaf {leaf.hex()} was expected", sequence
        )
    made = entry_of(Message(row.sequence, row.subject, row.header, row.payload))
    if made != row:
        pairs = zip(Entry._fields, made, row, strict=True)
        what = ", ".join(name for name, one, other in pairs if one != other)
        raise LedgerDiverged(
            f"row {sequence} is not what it was: what it says of itself does not hold ({what}); "
            f"leaf {leaf.hex()} was expected, {made.leaf_hash.hex()} is there",
            sequence,
        )
    if made.leaf_hash != leaf:
        raise LedgerDiverged(
            f"row {sequence} is not the one in the tree: "
            f"leaf {leaf.hex()} was expected, {made.leaf_hash.hex()} is there",
            sequence,
        )
