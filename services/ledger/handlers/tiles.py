"""Tiles and entry bundles: the tree itself, for whoever checks all of it. Only what a signed head covers is shown."""

from collections.abc import AsyncGenerator, Awaitable, Callable

from services.ledger.domain import leaf, tiles
from services.ledger.domain.entry import Entry
from services.ledger.domain.faults import LedgerDiverged
from services.ledger.domain.position import Position
from services.ledger.domain.records import SignedHead
from services.ledger.domain.tree import HASH_BYTES
from services.ledger.ports.book import Book

# A payload is part of a leaf by its hash alone, but it has to be read: few rows at once keep that in bounds.
_ROWS_AT_ONCE = 16
_PIECE_BYTES = 256 * 1024


class Tiles:
    """Reads tiles from the book. Everything may raise Invalid (no tree has such a tile), TileUnknown and LedgerBehind
    (nothing is signed yet)."""

    def __init__(
        self, book: Book, head: Callable[[], Awaitable[SignedHead]], position: Callable[[], Position]
    ) -> None:
        self._book = book
        self._head = head
        self._position = position

    async def tile(self, level: int, index: int, width: int) -> bytes:
        """The hashes of a tile, concatenated; width 0 is a full one."""
        place = tiles.place_of(level, index, width)
        part = tiles.hashes_of(place, (await self._head()).checkpoint.size)
        (hashes,) = await self._book.hashes([part])
        if len(hashes) != part.length * HASH_BYTES:
            raise LedgerDiverged(f"tile {level}/{index} is not whole: verify the ledger")
        return hashes

    async def entries(self, index: int, width: int) -> AsyncGenerator[bytes, None]:
        """An entry bundle in pieces: every leaf behind its length."""
        place = tiles.place_of(0, index, width)
        leaves = tiles.leaves_of(place, (await self._head()).checkpoint.size)
        at = self._position().first + leaves.begin
        end = at + leaves.end - leaves.begin
        piece = b""
        while at < end:
            rows = await self._book.rows(at, min(at + _ROWS_AT_ONCE, end) - 1)
            for expected in range(at, min(at + _ROWS_AT_ONCE, end)):
                if expected - at >= len(rows) or rows[expected - at].sequence != expected:
                    raise LedgerDiverged(f"row {expected} is missing: verify the ledger", expected)
            piece += b"".join(tiles.bundled(_leaf(row)) for row in rows)
            at = rows[-1].sequence + 1
            if len(piece) >= _PIECE_BYTES:
                yield piece
                piece = b""
        if piece:
            yield piece


def _leaf(row: Entry) -> bytes:
    return leaf.leaf_data(row.subject.encode(), row.header, leaf.header_lines(row.header), row.payload)
