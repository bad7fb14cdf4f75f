"""The audit: everything in a book that can be recomputed, recomputed, and the first thing that does not hold named.

Fed row by row in the order of the sequences; keeps no more than the frontier of the tree it grows.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from services.ledger.domain import tree
from services.ledger.domain.checkpoint import Checkpoint
from services.ledger.domain.entry import Message, Row, row_of
from services.ledger.domain.position import Position
from services.ledger.domain.tree import HASH_BYTES, TILE_WIDTH, Frontier, Tile

StoredTile = Callable[[int, int], Tile | None]
"""The stored tile of a level and index."""
_CHUNK = 4 * TILE_WIDTH


class Finding(NamedTuple):
    """One thing that was looked at; `sequence` is where it first fails, 0 when it holds or nowhere in particular."""

    name: str
    ok: bool
    detail: str
    sequence: int = 0


@dataclass(frozen=True, slots=True)
class Fault:
    """Where and why a check first failed."""

    sequence: int
    detail: str


class Audit:
    """One pass over a book that claims to be at `position` and to have had `heads` signed."""

    def __init__(self, position: Position, heads: Iterable[Checkpoint], stored_tile: StoredTile) -> None:
        self._position = position
        self._heads = sorted((head for head in heads if head.size), key=lambda head: head.size)
        self._stored_tile = stored_tile
        self._frontier = Frontier()
        self._pending: list[bytes] = []
        self._rows = 0
        self._tiles = 0
        self._next_head = 0
        self._faults: dict[str, Fault] = {}

    def take(self, row: Row) -> None:
        """Check the next row against what it is made of."""
        expected = self._position.first + self._rows
        if row.sequence != expected:
            detail = f"a row for {expected} was expected, {row.sequence} is there"
            self._fail("continuity", min(expected, row.sequence), detail)
        recomputed = row_of(Message(row.sequence, row.subject, row.header, row.payload))
        if recomputed != row:
            what = ", ".join(sorted(_differing(recomputed, row)))
            self._fail(
                "leaves", row.sequence, f"what row {row.sequence} says of itself does not hold: {what}"
            )
        self._rows += 1
        self._pending.append(recomputed.leaf_hash)
        if len(self._pending) == _CHUNK or self._frontier.size + len(self._pending) == self._head_size():
            self._grow()

    def finish(self, stored_tiles: int) -> list[Finding]:
        """What was found, once every row was taken; `stored_tiles` is how many tiles the book holds."""
        self._grow()
        position, size = self._position, self._frontier.size
        if size != position.size:
            end = position.first + min(size, position.size)
            self._fail("continuity", end, f"{size} rows are there, the position says {position.size}")
        if stored_tiles != self._tiles:
            self._fail("tiles", 0, f"{stored_tiles} tiles are stored, {self._tiles} belong to this tree")
        if tree.root_of(self._frontier) != position.root:
            self._fail("root", 0, "the root recomputed from the rows is not the one the position holds")
        for head in self._heads[self._next_head :]:
            missing = position.first + size if position.first else size + 1
            self._fail("heads", missing, f"a head over {head.size} leaves was signed, the tree has {size}")
        holds = {
            "continuity": f"{size} rows, {position.first} to {position.last}, none missing, none twice",
            "leaves": f"{size} leaves recomputed from subject, headers and payload",
            "tiles": f"{self._tiles} tiles recomputed",
            "root": f"root {position.root.hex()} over {size} leaves",
            "heads": f"{len(self._heads)} signed heads agree with the rows",
        }
        return [self._finding(name, detail) for name, detail in holds.items()]

    def _head_size(self) -> int:
        return self._heads[self._next_head].size if self._next_head < len(self._heads) else -1

    def _grow(self) -> None:
        self._frontier, tiles = tree.grow(self._frontier, self._pending)
        self._pending = []
        for tile in tiles:
            self._tiles += 1
            self._compare(tile)
        while self._head_size() == self._frontier.size:
            head = self._heads[self._next_head]
            self._next_head += 1
            if head.root != tree.root_of(self._frontier):
                self._fail(
                    "heads", 0, f"the head signed over {head.size} leaves has another root than the rows"
                )

    def _compare(self, tile: Tile) -> None:
        stored = self._stored_tile(tile.level, tile.index)
        if stored == tile:
            return
        width = TILE_WIDTH**tile.level
        begin = tile.index * TILE_WIDTH * width
        name = f"tile {tile.level}/{tile.index}"
        if stored is None:
            self._fail("tiles", self._position.first + begin, f"{name} is missing")
            return
        for n in range(TILE_WIDTH):
            at = slice(n * HASH_BYTES, (n + 1) * HASH_BYTES)
            if stored.hashes[at] != tile.hashes[at]:
                sequence = self._position.first + begin + n * width
                self._fail(
                    "tiles", sequence, f"{name} holds another hash than the rows from {sequence} on give"
                )
                return
        self._fail("tiles", self._position.first + begin, f"{name} holds a root that is not its own")

    def _fail(self, name: str, sequence: int, detail: str) -> None:
        self._faults.setdefault(name, Fault(sequence, detail))

    def _finding(self, name: str, holds: str) -> Finding:
        fault = self._faults.get(name)
        return (
            Finding(name, True, holds)
            if fault is None
            else Finding(name, False, fault.detail, fault.sequence)
        )


def _differing(one: Row, other: Row) -> Iterator[str]:
    for name, left, right in zip(Row._fields, one, other, strict=True):
        if left != right:
            yield name
