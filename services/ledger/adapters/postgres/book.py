"""The book in PostgreSQL: one writer among all replicas, readers beside it, and a draft that can take its place.

Any number of replicas may have the book open. One writes; the others wait for what it writes, answer from it, and when
it is gone one of them writes on.
"""

import asyncio
from collections.abc import Sequence
from typing import TypeVar

from chassis.process import jitter, monotonic
from chassis.telemetry import get_logger
from kernel.faults import Unavailable
from services.ledger.adapters.lookups import Lookups
from services.ledger.adapters.postgres.audit import audit
from services.ledger.adapters.postgres.connection import Database, Record
from services.ledger.adapters.postgres.definition import KEEPER, LIVE, version
from services.ledger.adapters.postgres.draft import PostgresDraft
from services.ledger.adapters.postgres.heads import keep_head, read_heads, thin
from services.ledger.adapters.postgres.preparing import COMMAND, found_version, owns, prepare
from services.ledger.adapters.postgres.reader import Reader
from services.ledger.adapters.postgres.writer import Writer, stands_by
from services.ledger.adapters.searching import Search
from services.ledger.domain.checkpoint import Checkpoint
from services.ledger.domain.entry import Entry, Message, Row, read_row
from services.ledger.domain.position import Position
from services.ledger.domain.proofs import Slice
from services.ledger.domain.records import SignedHead
from services.ledger.domain.understood import Understand
from services.ledger.ports.book import Audited

T = TypeVar("T")
LOCK = 1
LOOK_EVERY_SECONDS = 0.04
TAKE_OVER_SECONDS = 15.0
"""How long the writer may keep others waiting with nothing written before one of them takes over."""
_log = get_logger("ledger.postgres")


class PostgresBook(Lookups):
    """Implements `ports.Book` in a database that is there; what it needs in it is made if the role may."""

    def __init__(self, database: Database, understand: Understand) -> None:
        super().__init__(understand)
        self._database = database
        self._writer = Writer(database, LIVE, LOCK, understand, durable=True)
        self._reader = Reader(database)
        self._audits = asyncio.Lock()
        self._warned = False
        self._open = False

    async def open(self) -> None:
        if self._open:
            return
        connection = await self._database.connect()
        try:
            async with self._database.explained():
                found = await found_version(connection)
                if found != version():
                    if found is not None and not await owns(connection):
                        raise _unprepared("is made for another version")
                    if found is None and not await connection.fetchval(_MAY_CREATE):
                        raise _unprepared("is not prepared")
                    await prepare(connection, await connection.fetchval("SELECT current_user"))
                if not self._warned and await owns(connection):
                    self._warned = True
                    _log.warning(
                        "the ledger's role owns its tables: triggers protect them from it, and no rights do",
                        prepare_with=COMMAND,
                    )
        finally:
            await connection.close()
        self._open = True
        if await self._writer.leads():
            await self._writer.position()  # says now whether it adds up
            await self._drop_old()

    async def close(self) -> None:
        """Finish what is being written and let go."""
        await self._writer.close()
        await self._reader.close()

    async def position(self) -> Position:
        found = await self._fetch("SELECT first_seq, last_seq, root FROM position")
        if not found:  # removed: whoever builds it anew has to come as far as its rows do
            query = "SELECT coalesce(min(sequence), 0), coalesce(max(sequence), 0), ''::bytea FROM events"
            found = await self._fetch(query)
        return Position(*found[0])

    async def append(self, messages: Sequence[Message]) -> Position:
        self._go_on()
        waited = monotonic()
        known = None
        while True:
            position = await self._writer.append(messages)
            if position is not None:
                return position
            position = await self.position()
            if not messages or position.last >= messages[-1].sequence:
                return position
            if position != known:
                known, waited = position, monotonic()
            elif monotonic() - waited > TAKE_OVER_SECONDS:
                await self._writer.take_over()
                waited = monotonic()
            await asyncio.sleep(LOOK_EVERY_SECONDS / 2 + jitter(LOOK_EVERY_SECONDS))

    async def keep_head(self, head: SignedHead) -> None:
        self._go_on()
        await keep_head(self._writer, head)
        await thin(self._writer)

    async def hashes(self, slices: Sequence[Slice]) -> list[bytes]:
        self._go_on()
        return await self._reader.hashes(slices)

    async def leaf_hashes(self, first: int, last: int) -> list[tuple[int, bytes]]:
        self._go_on()
        return await self._reader.leaf_hashes(first, last)

    async def rows(self, first: int, last: int) -> list[Entry]:
        query = "SELECT * FROM events WHERE sequence >= $1 AND sequence <= $2 ORDER BY sequence"
        return [read_row(Row(*row)) for row in await self._fetch(query, first, last)]

    async def heads(self) -> Sequence[SignedHead]:
        self._go_on()
        return await read_heads(self._reader)

    async def audit(self, heads: Sequence[Checkpoint]) -> Audited:
        self._go_on()
        async with self._audits:
            return await audit(self._database, heads, self._understand)

    async def beside(self) -> PostgresDraft:
        self._go_on()
        if not await self._writer.leads():
            raise stands_by()
        draft = PostgresDraft(self._database, self._understand, self._replace)
        await draft.begin()
        return draft

    async def _replace(self) -> None:
        await self._drop_old()
        await self._writer.fetch(f"SELECT {KEEPER}.publish_draft()")
        await self._writer.forget()
        try:
            await self._drop_old()
        except Unavailable as problem:
            _log.info("the replaced book is still read; it is removed later", why=problem.text)

    async def _drop_old(self) -> None:
        await self._writer.fetch(f"SELECT {KEEPER}.drop_old()")

    async def _fetch(self, statement: str, *values: object) -> Sequence[Record]:
        self._go_on()
        return await self._reader.fetch(statement, *values)

    async def _find(self, search: Search[T]) -> T:
        self._go_on()
        return await self._reader.find(search)

    def _go_on(self) -> None:
        if not self._open:
            raise Unavailable(
                "STORE_UNREACHABLE", "the ledger's database is not open; the ledger's log says why"
            )


_MAY_CREATE = "SELECT has_database_privilege(current_database(), 'CREATE')"


def _unprepared(how: str) -> Unavailable:
    why = f"the ledger's database {how}, and its role may not do it: run {COMMAND} as somebody who may"
    return Unavailable("STORE_UNREACHABLE", why)
