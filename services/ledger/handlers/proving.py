"""Signed heads, and proofs that lead to them: that an event is in the tree, and that one tree grew out of another."""

import asyncio
from functools import partial

from services.ledger.domain import proofs
from services.ledger.domain.checkpoint import Checkpoint
from services.ledger.domain.entry import Entry
from services.ledger.domain.faults import (
    EventUnknown,
    LeafOutOfRange,
    LedgerDiverged,
    NotCovered,
    TreeSizeOutOfRange,
)
from services.ledger.domain.proofs import Range
from services.ledger.domain.records import Inclusion, SignedHead
from services.ledger.handlers.answers import Answers
from services.ledger.handlers.reached import Reached
from services.ledger.handlers.roots import root_at, roots
from services.ledger.handlers.witnessing import Witnessing
from services.ledger.ports.book import Book
from services.ledger.ports.signing import Signer

HEAD_WAIT_SECONDS = 3.0


class Proving:
    """Proves from the book what the ledger has signed. Writes nothing, and signs nothing."""

    def __init__(
        self, book: Book, signer: Signer, reached: Reached, answers: Answers, witnessing: Witnessing
    ) -> None:
        self._book = book
        self._signer = signer
        self._reached = reached
        self._answers = answers
        self._witnessing = witnessing

    async def tree_head(self, at_least_sequence: int = 0) -> SignedHead:
        """The newest signed head that covers a sequence.

        Raises:
            LedgerBehind: there is none yet.
            LedgerDiverged, StreamRegression: there will be none.
        """

        def covered() -> bool:
            return self._reached.head is not None and self._reached.covers(
                self._reached.head, at_least_sequence
            )

        await self._reached.until(covered, at_least_sequence, HEAD_WAIT_SECONDS)
        assert self._reached.head is not None
        return self._witnessing.newest(
            self._reached.head, self._reached.position.index_of(at_least_sequence) + 1
        )

    async def inclusion(self, tenant: str, event_id: str, tree_size: int) -> Inclusion:
        """The proof that an event is in the tree of `tree_size` leaves; 0 is the newest signed head.

        Raises:
            EventUnknown: the tenant has no such event.
            TreeSizeOutOfRange: that tree does not hold it, or there is no such tree yet.
            LedgerBehind: no signed head covers it yet.
        """
        entry = await self._answers.event(tenant, event_id)
        index = self._reached.position.index_of(entry.sequence)
        head = (
            await self.tree_head(entry.sequence) if not tree_size else await self._tree(tree_size, index + 1)
        )
        return await self._prove(entry, head)

    async def inclusion_at(self, leaf_index: int, tree_size: int) -> Inclusion:
        """As `inclusion`, of any leaf, whoever's event it is.

        Raises:
            LeafOutOfRange: that tree does not have it.
            TreeSizeOutOfRange: there is no such tree yet.
            LedgerBehind: no head is signed yet.
        """
        head = await self._tree(tree_size, 1) if tree_size else await self._newest(leaf_index + 1)
        if not 0 <= leaf_index < head.checkpoint.size:
            raise LeafOutOfRange(leaf_index, head.checkpoint.size)
        sequence = self._reached.position.first + leaf_index
        rows = await self._book.rows(sequence, sequence)
        if not rows:
            raise LedgerDiverged(f"row {sequence} is missing: verify the ledger", sequence)
        return await self._prove(rows[0], head)

    async def await_inclusion(self, tenant: str, event_id: str, timeout_seconds: float) -> Inclusion:
        """As `inclusion`, once a signed head covers the event.

        Raises:
            EventUnknown: no id was given.
            NotCovered: not in time; whether there is such an event, nobody knows before it is there.
            LedgerDiverged, StreamRegression: nothing more is signed.
        """
        if not event_id:
            raise EventUnknown(event_id)
        until = asyncio.get_running_loop().time() + timeout_seconds
        while True:
            head = self._reached.head
            entry = await self._book.event(tenant, event_id)
            if entry is not None and head is not None and self._reached.covers(head, entry.sequence):
                least = self._reached.position.index_of(entry.sequence) + 1
                return await self._prove(entry, self._witnessing.newest(head, least))
            try:
                # Looked for anew with each head, not with each event: nothing else can make it covered.
                async with asyncio.timeout_at(until):
                    await self._reached.until(partial(self._signed_another, head), 0, None)
            except TimeoutError:
                raise NotCovered(event_id) from None

    def _signed_another(self, head: SignedHead | None) -> bool:
        return self._reached.head != head

    async def _prove(self, entry: Entry, head: SignedHead) -> Inclusion:
        index = self._reached.position.index_of(entry.sequence)
        path = await roots(self._book, proofs.inclusion_ranges(index, head.checkpoint.size))
        return Inclusion(index, entry, tuple(path), head)

    async def consistency(self, from_size: int, to_size: int) -> tuple[list[bytes], int]:
        """The proof that the tree of `from_size` leaves is the beginning of `to_size` (0: the newest signed head).

        Raises:
            TreeSizeOutOfRange: there is no such tree.
            LedgerBehind: no head is signed yet.
        """
        to_size = to_size or (await self._newest(from_size)).checkpoint.size
        for name, size, most in (
            ("to_size", to_size, self._reached.position.size),
            ("from_size", from_size, to_size),
        ):
            if not 1 <= size <= most:
                raise TreeSizeOutOfRange(name, size, 1, most)
        return await roots(self._book, proofs.consistency_ranges(from_size, to_size)), to_size

    async def _newest(self, size: int) -> SignedHead:
        """The newest head to show; of `size` leaves if any is, though witnesses are still being asked about it."""
        head = await self.tree_head()
        if head.checkpoint.size < size and self._reached.head is not None:
            head = self._witnessing.newest(self._reached.head, size)
        return head

    async def _tree(self, size: int, least: int) -> SignedHead:
        position = self._reached.position
        if not least <= size <= position.size:
            raise TreeSizeOutOfRange("tree_size", size, least, position.size)
        if self._reached.head is not None and self._reached.head.checkpoint.size == size:
            return self._witnessing.cosigned(self._reached.head)
        root = await root_at(self._book, Range(0, size))
        return SignedHead(Checkpoint(self._signer.key.name, size, root))
