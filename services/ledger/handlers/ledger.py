"""The ledger itself: keeps what the log brings, signs heads over it, and can say whether it is whole."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from datetime import datetime

from kernel.faults import Fault, Refused, Unavailable
from services.ledger.domain import proofs
from services.ledger.domain.checkpoint import Checkpoint
from services.ledger.domain.entry import Message
from services.ledger.domain.faults import (
    LedgerBehind,
    LedgerDiverged,
    StreamRegression,
)
from services.ledger.domain.position import Position
from services.ledger.domain.records import Progress, SignedHead, Verdict, first_bad
from services.ledger.handlers.answers import Answers
from services.ledger.handlers.divergence import check_book, compare_with_log
from services.ledger.handlers.proving import Proving
from services.ledger.handlers.reached import Reached
from services.ledger.handlers.rebuilding import rebuild
from services.ledger.handlers.repairing import Repair
from services.ledger.handlers.roots import roots
from services.ledger.handlers.scrubbing import Scrubber
from services.ledger.handlers.tiles import Tiles
from services.ledger.handlers.verifying import verify
from services.ledger.handlers.watching import Watching
from services.ledger.handlers.witnessing import Witnessing
from services.ledger.ports.book import Book
from services.ledger.ports.log import EventStream, Mender
from services.ledger.ports.memory import ScrubMemory
from services.ledger.ports.signing import Signer

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
        self._reached = reached = Reached()
        self.witnessing = witnessing or Witnessing(book, signer)
        self.answers = Answers(book)
        self.proving = Proving(book, signer, reached, self.answers, self.witnessing)
        self.watching = Watching(book, lambda: reached.position, self.grown)
        self.tiles = Tiles(book, self.proving.tree_head, lambda: reached.position)
        self.repair = Repair(book, log, signer, mender)
        self.scrubber = Scrubber(book, log, signer, lambda: reached.position, scrub_memory)
        self._mender = mender
        self._book = book
        self._log = log
        self._signer = signer
        self._appending = asyncio.Lock()
        self._rebuilding = asyncio.Lock()

    @property
    def position(self) -> Position:
        """How far the ledger is."""
        return self._reached.position

    @property
    def diverged(self) -> Fault | None:
        """Why nothing goes on, if nothing does."""
        return self._reached.diverged

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
        self._reached.diverged = None
        return self._reached.position

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
        self._reached.position = await self._book.position()
        await check_book(self._book, self._reached.position)
        heads = await self._book.heads()
        if self._signer.last is None and heads:
            await self._signer.adopt(heads[-1])
        last = self._signer.last
        if last is not None and last.checkpoint.size <= self._reached.position.size:
            self._reached.head = last
            self.witnessing.see(last)
        await self.compare_with_log()

    async def compare_with_log(self) -> None:
        """Raises LedgerDiverged or StreamRegression, naming where, unless the log holds all that is kept."""
        await compare_with_log(self._book, self._log, self._reached.position, self._signer.last)

    def diverge(self, fault: Fault) -> None:
        """From here on nothing is kept or signed, and whoever waits is told why."""
        self._reached.diverged = fault
        self._reached.moved()

    async def take(self, messages: Sequence[Message]) -> Position:
        """Keep what the log brought. Durable when it returns; what is there already is passed over.

        Raises:
            LedgerDiverged: it does not follow on what is kept.
            WriterFenced, Unavailable: nothing was written; repeat.
        """
        self._reached.go_on()
        async with self._appending:
            self._reached.position = await self._book.append(messages)
        self._reached.moved()
        return self._reached.position

    async def sign(self, at: datetime) -> SignedHead | None:
        """Sign a head over everything kept, if the tree has grown; None while there is nothing to sign.

        Raises:
            LedgerDiverged: the signer refuses: the tree does not contain what was signed before.
            WriterFenced, Unavailable: nothing was signed; repeat.
        """
        self._reached.go_on()
        position, last = self._reached.position, self._signer.last
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
        self._reached.head = head
        self.witnessing.see(head)
        self._reached.moved()
        return head

    async def wait(self, sequence: int, timeout_seconds: float) -> int:
        """The sequence the ledger has reached, once that is at least `sequence`.

        Raises:
            LedgerBehind: not in time.
            LedgerDiverged, StreamRegression: it never will.
        """
        await self._reached.until(lambda: self._reached.position.last >= sequence, sequence, timeout_seconds)
        return self._reached.position.last

    async def grown(self, beyond: int) -> None:
        """Wait until something behind sequence `beyond` is kept. Raises as `wait`, but is never late."""
        await self._reached.until(lambda: self._reached.position.last > beyond, beyond, None)

    async def backlog(self) -> int:
        """How many events the log has that the ledger has not. Raises Unavailable: no answer."""
        return max(0, (await self._log.state()).last - self._reached.position.last)

    async def verify(self, *, against_log: bool) -> Verdict:
        """Recompute everything that can be recomputed; with `against_log`, compare every leaf with the log as well.

        What was in the log when it was asked for is covered, unless the ledger cannot get there.
        """
        if self._reached.diverged is None:
            with suppress(LedgerBehind, LedgerDiverged, StreamRegression):
                await self.wait((await self._log.state()).last, CATCH_UP_SECONDS)
        verdict = await verify(
            self._book,
            self._log,
            self._signer,
            self._reached.diverged,
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
                    self._reached.position = await self._book.position()
                    self.scrubber.forget()
                    self._reached.moved()
                yield progress
