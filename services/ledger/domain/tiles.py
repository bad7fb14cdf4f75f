"""Tiles and entry bundles as C2SP tlog-tiles has them: which there are in a tree, and what is in them.

A tile is named by level, index and width; 256 is a full one. A partial tile is answered as long as the tree holds its
hashes, whether the full one exists by now or not: what a tile holds never changes.
"""

from dataclasses import dataclass

from kernel.faults import Invalid
from services.ledger.domain.faults import TileUnknown
from services.ledger.domain.leaf import MAX_LEAF_BYTES
from services.ledger.domain.proofs import Range, Slice
from services.ledger.domain.tree import TILE_WIDTH

MAX_LEVEL = 63
MAX_INDEX = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Place:
    """Where a tile stands, and how many hashes of it are asked for."""

    level: int
    index: int
    width: int


def place_of(level: int, index: int, width: int) -> Place:
    """The tile that is asked for; width 0 is a full one.

    Raises:
        Invalid: no tree has such a tile.
    """
    for field, value, most in (("level", level, MAX_LEVEL), ("index", index, MAX_INDEX)):
        if not 0 <= value <= most:
            raise Invalid("FIELD_INVALID", f"{field} must be from 0 to {most}", field=field)
    if not 0 <= width < TILE_WIDTH:
        text = f"width must be from 1 to {TILE_WIDTH - 1} for a partial tile, or 0 for a full one"
        raise Invalid("FIELD_INVALID", text, field="width")
    return Place(level, index, width or TILE_WIDTH)


def hashes_of(place: Place, size: int) -> Slice:
    """The hashes of a tile in a tree of `size` leaves. Raises TileUnknown: that tree does not have them all."""
    there = _there(place, size)
    if there < place.width:
        raise TileUnknown(place.level, place.index, place.width, max(0, there), size)
    return Slice(place.level, place.index * TILE_WIDTH, place.width)


def leaves_of(place: Place, size: int) -> Range:
    """The leaves of an entry bundle, which is named as the tile of its leaf hashes. Raises TileUnknown."""
    part = hashes_of(place, size)
    return Range(part.start, part.start + part.length)


def bundled(leaf: bytes) -> bytes:
    """A leaf as it stands in an entry bundle: behind its length, a big-endian uint16."""
    assert len(leaf) <= MAX_LEAF_BYTES
    return len(leaf).to_bytes(2, "big") + leaf


def _there(place: Place, size: int) -> int:
    """How many hashes of the tile there are: each is the root of a complete subtree, of full tiles below."""
    return (size >> (8 * place.level)) - place.index * TILE_WIDTH
