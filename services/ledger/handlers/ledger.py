"""The ledger itself: takes what the log brings, signs heads, proves, answers."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from datetime import datetime
from functools import partial

from kernel.faults import Fault, Refused, Unavailable
from services.ledger.domain import proofs
from services.ledger.domain.checkpoint import Checkpoint
from services.ledger.domain.entry import Entry, Message
from services.ledger.domain.faults import (
    EventUnknown,
    LeafOutOfRange,
    LedgerBehind,
    LedgerDiverged,
    NotCovered,
    StreamRegression,
    TreeSizeOutOfRange,
)
from services.ledger.domain.position import Position
from services.ledger.domain.proofs import Range
from services.ledger.domain.records import Inclusion, Progress, SignedHead, Verdict, first_bad
from services.ledger.handlers.answers import Answers
from services.ledger.handlers.divergence import check_book, compare_with_log
from services.ledger.handlers.rebuilding import rebuild
from services.ledger.handlers.repairing import Repair
from services.ledger.handlers.roots import root_at, roots
from services.ledger.handlers.scrubbing import Scrubber
from services.ledger.handlers.tiles import Tiles
from services.ledger.handlers.verifying import verify
from services.ledger.handlers.watching import Watching
from services.ledger.handlers.witnessing import Witnessing
from services.ledger.ports import Book, EventStream, Mender, ScrubMemory, Signer

HEAD_WAIT_SECONDS = 3.0
CATCH_UP_SECONDS = 5.0


class Ledger:
    """Keeps what the event log brings and answers from it. `begin` comes first."""

    def __init__(
        self,
        book: Book,
        log: EventStream,
        signer: Signer,
        mender: Mender,
        scrub_memory: ScrubMemory,
        witnessing: Witnessing | None = None,
    ) -> None:
        self.witnessing = witnessing or Witnessing(book, signer)
        self.answers = Answers(book)
        self.watching = Watching(book, lambda: self._position, self.grown)
        self.tiles = Tiles(book, self.tree_head, lambda: self._position)
        self.repair = Repair(book, log, signer, mender)
        self.scrubber = Scrubber(book, log, signer, lambda: self._position, scrub_memory)
        self._mender = mender
        self._book = book
        self._log = log
        self._signer = signer
        self._position = Position()
        self._head: SignedHead | None = None
        self._diverged: Fault | None = None
        self._moved = asyncio.Event()
        self._appending = asyncio.Lock()
        self._rebuilding = asyncio.Lock()

    @property
    def position(self) -> Position:
        """How far the ledger is."""
        return self._position

    @property
    def diverged(self) -> Fault | None:
        """Why nothing goes on, if nothing does."""
        return self._diverged

    @property
    def verifier_keys(self) -> list[str]:
        """What heads are verified with, as C2SP vkeys, oldest first: two while keys are changed."""
        return [each.text for each in self._signer.keys]

    @property
    def key_history(self) -> str:
        """Every key there ever was, as signed notes."""
        return self._signer.key_history

    async def begin(self) -> Position:
        """Find out where the ledger is, and that it, the signer and the event log tell one story.

        After a divergence it is the way back: when all fits again, the ledger goes on and so may everybody else.

        Raises:
            LedgerDiverged, StreamRegression: they do not; also kept as `diverged`.
            Unavailable: the log or the database does not answer.
        """
        try:
            await self._begin()
            await self.scrubber.look()  # where it stopped, if it has found something
        except Refused as fault:
            self.diverge(fault)
            raise
        await self._mender.lift()
        self._diverged = None
        return self._position

    async def locate(self, fault: Fault) -> Fault:
        """The fault with the first sequence it concerns, if it does not say so itself and an audit finds it."""
        if fault.reason != "LEDGER_DIVERGED" or "sequence" in fault.facts:
            return fault
        with suppress(Refused, Unavailable):
            audited = await self._book.audit([])
            first = first_bad(audited.findings)
            if first is not None:
                return LedgerDiverged(
                    f"{fault.text}; sequence {first.sequence}: {first.detail}", first.sequence
                )
        return fault

    async def fence(self, why: str) -> None:
        """Nobody can append to the event log any more. Raises Unavailable: no answer; repeat."""
        await self._mender.fence(why)

    async def _begin(self) -> None:
        await self._book.open()
        self._position = await self._book.position()
        await check_book(self._book, self._position)
        heads = await self._book.heads()
        if self._signer.last is None and heads:
            await self._signer.adopt(heads[-1])
        last = self._signer.last
        if last is not None and last.checkpoint.size <= self._position.size:
            self._head = last
            self.witnessing.see(last)
        await self.compare_with_log()

    async def compare_with_log(self) -> None:
        """Raises LedgerDiverged or StreamRegression, naming where, unless the log holds all that is kept."""
        await compare_with_log(self._book, self._log, self._position, self._signer.last)

    def diverge(self, fault: Fault) -> None:
        """From here on nothing is kept or signed, and whoever waits is told why."""
        self._diverged = fault
        self._move()

    async def take(self, messages: Sequence[Message]) -> Position:
        """Keep what the log brought. Durable when it returns; what is there already is passed over.

        Raises:
            LedgerDiverged: it does not follow on what is kept.
            WriterFenced, Unavailable: nothing was written; repeat.
        """
        self._go_on()
        async with self._appending:
            self._position = await self._book.append(messages)
        self._move()
        return self._position

    async def sign(self, at: datetime) -> SignedHead | None:
        """Sign a head over everything kept, if the tree has grown; None while there is nothing to sign.

        Raises:
            LedgerDiverged: the signer refuses: the tree does not contain what was signed before.
            WriterFenced, Unavailable: nothing was signed; repeat.
        """
        self._go_on()
        position, last = self._position, self._signer.last
        if not position.size or (last is not None and position.size < last.checkpoint.size):
            return None  # still catching up; that the log is long enough was seen at the beginning
        head = last
        new = Checkpoint(self._signer.key.name, position.size, position.root)
        if last is None or last.checkpoint != new:
            old = 0 if last is None else last.checkpoint.size
            path = await roots(self._book, proofs.consistency_ranges(old, new.size))
            head = await self._signer.sign(new, old, path, at)
        assert head is not None
        await self._book.keep_head(head)
        self._head = head
        self.witnessing.see(head)
        self._move()
        return head

    async def wait(self, sequence: int, timeout_seconds: float) -> int:
        """The sequence the ledger has reached, once that is at least `sequence`.

        Raises:
            LedgerBehind: not in time.
            LedgerDiverged, StreamRegression: it never will.
        """
        await self._until(lambda: self._position.last >= sequence, sequence, timeout_seconds)
        return self._position.last

    async def grown(self, beyond: int) -> None:
        """Wait until something behind sequence `beyond` is kept. Raises as `wait`, but is never late."""
        await self._until(lambda: self._position.last > beyond, beyond, None)

    async def backlog(self) -> int:
        """How many events the log has that the ledger has not. Raises Unavailable: no answer."""
        return max(0, (await self._log.state()).last - self._position.last)

    async def tree_head(self, at_least_sequence: int = 0) -> SignedHead:
        """The newest signed head that covers a sequence.

        Raises:
            LedgerBehind: there is none yet.
            LedgerDiverged, StreamRegression: there will be none.
        """

        def covered() -> bool:
            return self._head is not None and self._covers(self._head, at_least_sequence)

        await self._until(covered, at_least_sequence, HEAD_WAIT_SECONDS)
        assert self._head is not None
        return self.witnessing.newest(self._head, self._position.index_of(at_least_sequence) + 1)

    async def inclusion(self, tenant: str, event_id: str, tree_size: int) -> Inclusion:
        """The proof that an event is in the tree of `tree_size` leaves; 0 is the newest signed head.

        Raises:
            EventUnknown: the tenant has no such event.
            TreeSizeOutOfRange: that tree does not hold it, or there is no such tree yet.
            LedgerBehind: no signed head covers it yet.
        """
        entry = await self.answers.event(tenant, event_id)
        index = self._position.index_of(entry.sequence)
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
        head = await self._tree(tree_size, 1) if tree_size else await self.tree_head()
        if not 0 <= leaf_index < head.checkpoint.size:
            raise LeafOutOfRange(leaf_index, head.checkpoint.size)
        sequence = self._position.first + leaf_index
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
            head = self._head
            entry = await self._book.event(tenant, event_id)
            if entry is not None and head is not None and self._covers(head, entry.sequence):
                least = self._position.index_of(entry.sequence) + 1
                return await self._prove(entry, self.witnessing.newest(head, least))
            try:
                # Looked for anew with each head, not with each event: nothing else can make it covered.
                async with asyncio.timeout_at(until):
                    await self._until(partial(self._signed_another, head), 0, None)
            except TimeoutError:
                raise NotCovered(event_id) from None

    def _covers(self, head: SignedHead, sequence: int) -> bool:
        return self._position.index_of(sequence) < head.checkpoint.size

    def _signed_another(self, head: SignedHead | None) -> bool:
        return self._head != head

    async def _prove(self, entry: Entry, head: SignedHead) -> Inclusion:
        index = self._position.index_of(entry.sequence)
        path = await roots(self._book, proofs.inclusion_ranges(index, head.checkpoint.size))
        return Inclusion(index, entry, tuple(path), head)

    async def consistency(self, from_size: int, to_size: int) -> tuple[list[bytes], int]:
        """The proof that the tree of `from_size` leaves is the beginning of `to_size` (0: the newest signed head).

        Raises:
            TreeSizeOutOfRange: there is no such tree.
            LedgerBehind: no head is signed yet.
        """
        to_size = to_size or (await self.tree_head()).checkpoint.size
        for name, size, most in (
            ("to_size", to_size, self._position.size),
            ("from_size", from_size, to_size),
        ):
            if not 1 <= size <= most:
                raise TreeSizeOutOfRange(name, size, 1, most)
        return await roots(self._book, proofs.consistency_ranges(from_size, to_size)), to_size

    async def verify(self, *, against_log: bool) -> Verdict:
        """Recompute everything that can be recomputed; with `against_log`, compare every leaf with the log as well.

        What was in the log when it was asked for is covered, unless the ledger cannot get there.
        """
        if self._diverged is None:
            with suppress(LedgerBehind, LedgerDiverged, StreamRegression):
                await self.wait((await self._log.state()).last, CATCH_UP_SECONDS)
        verdict = await verify(
            self._book,
            self._log,
            self._signer,
            self._diverged,
            self.scrubber.finding(),
            against_log=against_log,
        )
        return replace(verdict, findings=(*verdict.findings, *await self.witnessing.look()))

    async def rebuild(self) -> AsyncGenerator[Progress, None]:
        """Build the book anew from the log and put it in the old one's place if every signed head agrees.

        Raises:
            Refused: one is being built already.
            StreamRegression: the log is no longer whole.
            Unavailable: no room, or no log.
        """
        if self._rebuilding.locked():
            raise Refused("LEDGER_BEHIND", "a rebuild is going on; wait for it, or try again later")
        built = rebuild(self._book, self._log, self._signer, self._appending)
        async with self._rebuilding, aclosing(built):
            async for progress in built:
                if progress.swapped:
                    self._position = await self._book.position()
                    self.scrubber.forget()
                    self._move()
                yield progress

    async def _tree(self, size: int, least: int) -> SignedHead:
        position = self._position
        if not least <= size <= position.size:
            raise TreeSizeOutOfRange("tree_size", size, least, position.size)
        if self._head is not None and self._head.checkpoint.size == size:
            return self.witnessing.cosigned(self._head)
        root = await root_at(self._book, Range(0, size))
        return SignedHead(Checkpoint(self._signer.key.name, size, root))

    async def _until(self, there: Callable[[], bool], sequence: int, timeout_seconds: float | None) -> None:
        try:
            async with asyncio.timeout(timeout_seconds):
                while True:
                    self._go_on()
                    if there():
                        return
                    await self._moved.wait()
        except TimeoutError:
            raise LedgerBehind(sequence, self._position.last) from None

    def _go_on(self) -> None:
        if self._diverged is not None:
            raise self._diverged

    def _move(self) -> None:
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()
