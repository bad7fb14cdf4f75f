"""Proofs over the tree: which hashes they need, how they are put together, and how they are checked.

Which is pure arithmetic on sizes: a proof is planned as ranges of leaves, a range as slices of tiles. Whoever keeps the
tiles fetches the slices. Follows RFC 6962, sections 2.1.1 and 2.1.2; checking follows RFC 9162, sections 2.1.3.2 and
2.1.4.2.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from services.ledger.domain.tree import EMPTY_ROOT, TILE_WIDTH, node_hash, subtree_root

_BITS = TILE_WIDTH.bit_length() - 1


class Range(NamedTuple):
    """The leaves from `begin` up to, and without, `end`."""

    begin: int
    end: int


class Slice(NamedTuple):
    """`length` hashes from `start` on, on tile level `level`: a complete subtree, inside one tile."""

    level: int
    start: int
    length: int


def slices(leaves: Range) -> list[Slice]:
    """The complete subtrees that make up a range of a proof, from left to right."""
    found = []
    begin, end = leaves
    while begin < end:
        height = (end - begin).bit_length() - 1
        if begin:
            height = min(height, (begin & -begin).bit_length() - 1)
        level = height // _BITS
        found.append(Slice(level, begin >> (level * _BITS), 1 << (height - level * _BITS)))
        begin += 1 << height
    return found


def range_root(parts: Sequence[bytes]) -> bytes:
    """The root over a range, from the hashes of its `slices`; no parts is the empty tree."""
    if not parts:
        return EMPTY_ROOT
    root = subtree_root(parts[-1])
    for part in reversed(parts[:-1]):
        root = node_hash(subtree_root(part), root)
    return root


def inclusion_ranges(index: int, size: int) -> list[Range]:
    """The ranges whose roots are PATH(index, D[size]), from the leaf upwards; needs 0 <= index < size."""
    begin, end, path = 0, size, []
    while end - begin > 1:
        middle = begin + _split(end - begin)
        if index < middle:
            path.append(Range(middle, end))
            end = middle
        else:
            path.append(Range(begin, middle))
            begin = middle
    return path[::-1]


def consistency_ranges(old: int, new: int) -> list[Range]:
    """The ranges whose roots are PROOF(old, D[new]); needs old <= new. None for nothing, or for two equal trees."""
    if old in {0, new}:
        return []
    begin, end, path = 0, new, []
    while end != old:
        middle = begin + _split(end - begin)
        if old <= middle:
            path.append(Range(middle, end))
            end = middle
        else:
            path.append(Range(begin, middle))
            begin = middle
    if begin:
        path.append(Range(begin, end))
    return path[::-1]


def includes(*, leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """Whether `path` proves that leaf hash `leaf` stands at `index` in the tree of `size` with `root`."""
    if not 0 <= index < size:
        return False
    number, last, computed = index, size - 1, leaf
    for hash_ in path:
        if last == 0:
            return False
        if number & 1 or number == last:
            computed = node_hash(hash_, computed)
            while not number & 1 and number:
                number >>= 1
                last >>= 1
        else:
            computed = node_hash(computed, hash_)
        number >>= 1
        last >>= 1
    return last == 0 and computed == root


def consistent(*, old: int, new: int, path: Sequence[bytes], old_root: bytes, new_root: bytes) -> bool:
    """Whether `path` proves that the tree of `new` leaves begins with the tree of `old` leaves."""
    if old > new or old < 0:
        return False
    if old == 0:
        return not path and old_root == EMPTY_ROOT and (new > 0 or new_root == EMPTY_ROOT)
    if old == new:
        return not path and old_root == new_root
    if not path:
        return False
    hashes: Iterable[bytes] = path
    if old & (old - 1) == 0:
        hashes = (old_root, *path)
    first, *rest = hashes
    number, last = old - 1, new - 1
    while number & 1:
        number >>= 1
        last >>= 1
    old_computed = new_computed = first
    for hash_ in rest:
        if last == 0:
            return False
        if number & 1 or number == last:
            old_computed = node_hash(hash_, old_computed)
            new_computed = node_hash(hash_, new_computed)
            while not number & 1 and number:
                number >>= 1
                last >>= 1
        else:
            new_computed = node_hash(new_computed, hash_)
        number >>= 1
        last >>= 1
    return last == 0 and old_computed == old_root and new_computed == new_root


def _split(size: int) -> int:
    """The largest power of two smaller than `size` (at least 2)."""
    return 1 << ((size - 1).bit_length() - 1)
