"""The Merkle tree of RFC 6962, section 2.1, kept as tiles of 256 hashes (C2SP tlog-tiles).

Tile (level L, index N) holds the hashes of the 256 complete subtrees of 256^L leaves from N·256 on; its root is hash N
of level L+1. What is not in a full tile yet is the frontier: at most 255 hashes on each level, whatever the size.

Hashes of one level are kept concatenated: neighbours to be hashed together are then one slice.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

HASH_BYTES = 32
TILE_WIDTH = 256
TILE_BYTES = HASH_BYTES * TILE_WIDTH
EMPTY_ROOT = sha256(b"").digest()


@dataclass(frozen=True, slots=True)
class Tile:
    """A full tile: 256 hashes, and the root over them."""

    level: int
    index: int
    hashes: bytes
    root: bytes


@dataclass(frozen=True, slots=True)
class Frontier:
    """The right edge of a tree: on each level, from the leaves up, the hashes that are in no full tile."""

    size: int = 0
    levels: tuple[bytes, ...] = ()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of two neighbours: RFC 6962, section 2.1."""
    return sha256(b"\x01" + left + right).digest()


def subtree_root(hashes: bytes) -> bytes:
    """The root over concatenated hashes (at least one) of equally high subtrees.

    Level by level, an odd one out rising as it is: the same tree as the RFC's split at the largest power of two.
    """
    while len(hashes) > HASH_BYTES:
        odd = len(hashes) % (2 * HASH_BYTES)
        paired = len(hashes) - odd
        above = [
            sha256(b"\x01" + hashes[at : at + 2 * HASH_BYTES]).digest()
            for at in range(0, paired, 2 * HASH_BYTES)
        ]
        if odd:
            above.append(hashes[paired:])
        hashes = b"".join(above)
    return hashes


def grow(frontier: Frontier, leaf_hashes: Iterable[bytes]) -> tuple[Frontier, list[Tile]]:
    """The frontier after appending `leaf_hashes`, and the tiles that became full, lower levels first."""
    levels: list[bytes] = []
    tiles: list[Tile] = []
    rising = b"".join(leaf_hashes)
    size = frontier.size + len(rising) // HASH_BYTES
    at_level = frontier.size
    level = 0
    while rising or level < len(frontier.levels):
        pending = (frontier.levels[level] if level < len(frontier.levels) else b"") + rising
        index = at_level // TILE_WIDTH
        roots = []
        full = len(pending) - len(pending) % TILE_BYTES
        for at in range(0, full, TILE_BYTES):
            hashes = pending[at : at + TILE_BYTES]
            root = subtree_root(hashes)
            tiles.append(Tile(level, index + at // TILE_BYTES, hashes, root))
            roots.append(root)
        levels.append(pending[full:])
        rising = b"".join(roots)
        at_level = index
        level += 1
    return Frontier(size, tuple(levels)), tiles


def root_of(frontier: Frontier) -> bytes:
    """The Merkle tree hash of everything appended so far."""
    carried = b""
    for pending in frontier.levels:
        row = pending + carried
        carried = subtree_root(row) if row else b""
    return carried or EMPTY_ROOT
