"""The tree over leaves that come one by one: its tiles as they become full, its edge, its root. RFC 6962, 2.1."""

from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import NamedTuple

from provost_sdk.exports.layout import TILE_WIDTH
from provost_sdk.proofs import EMPTY, hash_node, split


class Tile(NamedTuple):
    """Hashes that stand together, as C2SP tlog-tiles has them."""

    level: int
    number: int
    hashes: Sequence[bytes]


class Tree:
    """Grows leaf by leaf; remembers the hashes that are in no full tile."""

    def __init__(self) -> None:
        self._rows: list[list[bytes]] = [[]]
        self._counts = [0]

    def add(self, hashes: Sequence[bytes]) -> Iterator[Tile]:
        """Add as many leaf hashes as fit into the tile that is begun; the tiles that are full now, lower ones first."""
        row = self._rows[0]
        row.extend(hashes)
        assert len(row) <= TILE_WIDTH
        level = 0
        while len(row) == TILE_WIDTH:
            yield Tile(level, self._counts[level], row)
            root = mth(row)
            self._rows[level] = []
            self._counts[level] += 1
            level += 1
            if level == len(self._rows):
                self._rows.append([])
                self._counts.append(0)
            row = self._rows[level]
            row.append(root)

    def edge(self) -> Iterator[Tile]:
        """The tiles that are not full."""
        for level, row in enumerate(self._rows):
            if row:
                yield Tile(level, self._counts[level], row)

    def root(self) -> bytes:
        """The root over everything added."""
        above: list[bytes] = []
        for row in self._rows:
            whole = [*row, *above]
            above = [mth(whole)] if whole else []
        return above[0] if above else EMPTY


def mth(hashes: Sequence[bytes]) -> bytes:
    """The root over hashes of equally large trees, the last of which may be smaller."""
    if len(hashes) & (len(hashes) - 1):
        k = split(len(hashes))
        return hash_node(mth(hashes[:k]), mth(hashes[k:]))
    while len(hashes) > 1:
        pairs = iter(hashes)
        hashes = [sha256(b"\x01" + left + right).digest() for left, right in zip(pairs, pairs, strict=True)]
    return hashes[0]
