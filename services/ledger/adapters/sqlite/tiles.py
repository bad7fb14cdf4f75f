"""Hashes of the tree, read from full tiles where there are any and else from what they will be made of."""

from collections.abc import Callable, Sequence
from typing import Any

from services.ledger.domain.proofs import Slice
from services.ledger.domain.tree import HASH_BYTES, TILE_WIDTH

Run = Callable[[str, Sequence[object]], Sequence[tuple[Any, ...]]]
"""Runs one statement and answers its rows."""


def read_slices(run: Run, slices: Sequence[Slice]) -> list[bytes]:
    """The hashes of each slice, concatenated; a slice beyond the tree is answered short."""
    tiles: dict[tuple[int, int], bytes | None] = {}
    found = []
    for part in slices:
        index, offset = divmod(part.start, TILE_WIDTH)
        place = part.level, index
        if place not in tiles:
            rows = run("SELECT hashes FROM tiles WHERE level = ? AND idx = ?", place)
            tiles[place] = rows[0][0] if rows else None
        tile = tiles[place]
        if tile is None:
            found.append(_unfinished(run, part))
        else:
            found.append(tile[offset * HASH_BYTES : (offset + part.length) * HASH_BYTES])
    return found


def leaf_hashes(run: Run, first: int, last: int) -> list[tuple[int, bytes]]:
    """Sequence and leaf hash of the rows from `first` to `last`."""
    query = "SELECT sequence, leaf_hash FROM events WHERE sequence >= ? AND sequence <= ? ORDER BY sequence"
    return [(sequence, leaf) for sequence, leaf in run(query, (first, last))]


def _unfinished(run: Run, part: Slice) -> bytes:
    if part.level == 0:
        ((begin,),) = run("SELECT first_seq FROM position", ())
        rows = leaf_hashes(run, begin + part.start, begin + part.start + part.length - 1)
        return b"".join(leaf for _, leaf in rows)
    query = "SELECT root FROM tiles WHERE level = ? AND idx >= ? AND idx < ? ORDER BY idx"
    return b"".join(root for (root,) in run(query, (part.level - 1, part.start, part.start + part.length)))
