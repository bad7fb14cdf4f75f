"""Roots over ranges of leaves, from the hashes a book keeps."""

from collections.abc import Sequence
from typing import Protocol

from services.ledger.domain.faults import LedgerDiverged
from services.ledger.domain.proofs import Range, Slice, range_root, slices
from services.ledger.domain.tree import HASH_BYTES


class Hashes(Protocol):
    async def hashes(self, slices: Sequence[Slice]) -> list[bytes]: ...


async def roots(book: Hashes, ranges: Sequence[Range]) -> list[bytes]:
    """The root over each range.

    Raises:
        LedgerDiverged: the book does not have all the hashes it ought to have.
    """
    wanted = [slices(each) for each in ranges]
    read = iter(await book.hashes([part for parts in wanted for part in parts]))
    found = []
    for parts in wanted:
        hashes = [next(read) for _ in parts]
        for part, each in zip(parts, hashes, strict=True):
            if len(each) != part.length * HASH_BYTES:
                raise LedgerDiverged(f"hashes {part.start} and on of tree level {part.level} are missing")
        found.append(range_root(hashes))
    return found


async def root_at(book: Hashes, leaves: Range) -> bytes:
    """The root over one range. Raises LedgerDiverged as `roots`."""
    (root,) = await roots(book, [leaves])
    return root
