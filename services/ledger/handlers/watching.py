"""Watching: events as they come, read from the book behind a cursor, so that only what is durable is ever shown.

Nothing is queued for anyone: whoever reads slowly is read for slowly.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable

from services.ledger.domain.position import Position
from services.ledger.domain.questions import EventQuestion, Page
from services.ledger.domain.steps import Watched
from services.ledger.ports.book import Book

PAGE_SIZE = 200
HEARTBEAT_SECONDS = 10.0
_GATHER_SECONDS = 0.02


class Watching:
    """`position` is how far the ledger is; `grown` waits for something behind a sequence, or raises why none comes."""

    def __init__(
        self,
        book: Book,
        position: Callable[[], Position],
        grown: Callable[[int], Awaitable[None]],
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
    ) -> None:
        self._book = book
        self._position = position
        self._grown = grown
        self._heartbeat_seconds = heartbeat_seconds
        self.open = 0
        """How many watches there are."""

    async def watch(self, question: EventQuestion, after: int | None) -> AsyncGenerator[Watched, None]:
        """Everything that `question` asks for behind the sequence `after`, oldest first, for ever; None is from now on.

        The first answer comes at once. When nothing comes that is asked for, a sign of life does, with how far this is.

        Raises:
            LedgerDiverged, StreamRegression: there will be no more.
            Unavailable: the database does not answer; watch again.
        """
        self.open += 1
        try:
            async for watched in self._watch(question, self._position().last if after is None else after):
                yield watched
        finally:
            self.open -= 1

    async def _watch(self, question: EventQuestion, reached: int) -> AsyncGenerator[Watched, None]:
        yield Watched((), reached)
        clock = asyncio.get_running_loop().time
        said = clock()
        while True:
            upto = self._position().last
            if reached < upto:
                found = await self._book.events(question, Page(PAGE_SIZE, (reached,)))
                if found.end is not None:
                    reached = int(found.end[0])
                else:
                    reached = max(upto, found.rows[-1].sequence if found.rows else 0)
                if found.rows or clock() - said >= self._heartbeat_seconds:
                    yield Watched(found.rows, reached)
                    said = clock()
                continue
            try:
                async with asyncio.timeout_at(said + self._heartbeat_seconds):
                    await self._grown(reached)
                    await asyncio.sleep(_GATHER_SECONDS)  # what comes together is shown together
            except TimeoutError:
                yield Watched((), reached)
                said = clock()
