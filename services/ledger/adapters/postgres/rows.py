"""A batch's rows on their way in, by COPY; and the edge of a book read back out."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from itertools import islice

from sqlalchemy import Table

from services.ledger.adapters.postgres.connection import Connection
from services.ledger.adapters.postgres.folding import tell
from services.ledger.adapters.schema import EVENT_IDS, EVENTS, POSTINGS, SPANS, TILES
from services.ledger.domain.entry import Message, Row
from services.ledger.domain.faults import LedgerDiverged, WriterFenced
from services.ledger.domain.growth import Batch, Edge, levels_of
from services.ledger.domain.position import Position
from services.ledger.domain.terms import BLOCK
from services.ledger.domain.tree import TILE_WIDTH
from services.ledger.domain.understood import Understand

# Whoever holds the position from where it was is the writer; the other one waits, and then finds it moved.
_HOLD = "SELECT 1 FROM position WHERE last_seq = $1 AND root = $2 FOR UPDATE"
_MOVE = "UPDATE position SET first_seq = $1, last_seq = $2, root = $3"
_AT_ONCE = 1000
_TURN = 250  # how many are worked on before others get their turn: a few milliseconds


async def append(connection: Connection, known: Edge, messages: Sequence[Message]) -> None:
    """Everything of some messages in one transaction; `known` has moved on, whether that works or not.

    Raises:
        WriterFenced: somebody else has moved the position.
    """
    old, told = known.position, []
    async with connection.transaction():
        if await connection.fetchval(_HOLD, old.last, old.root) is None:
            raise WriterFenced(old.last)
        writing: asyncio.Future[None] = asyncio.ensure_future(_nothing())
        try:
            for at in range(0, len(messages), _AT_ONCE):
                # The next ones are taken in while the server writes the last ones.
                batches = await _taken(known, messages[at : at + _AT_ONCE])
                told += [each for batch in batches for each in batch.told]
                await writing
                writing = asyncio.ensure_future(_write(connection, batches))
            await writing
        finally:
            writing.cancel()
            await asyncio.wait({writing})
        await tell(connection, told)
        new = known.position
        await connection.execute(_MOVE, new.first, new.last, new.root)


async def _taken(known: Edge, messages: Sequence[Message]) -> list[Batch]:
    """What is to be written for messages, a little at a time: on a thread it would stand in the loop's way at every
    turn of the interpreter, here it steps aside of its own accord.
    """
    batches = []
    for at in range(0, len(messages), _TURN):
        batches.append(known.take(messages[at : at + _TURN]))
        await asyncio.sleep(0)
    return batches


async def _write(connection: Connection, batches: Sequence[Batch]) -> None:
    tiles = [(each.level, each.index, each.hashes, each.root) for batch in batches for each in batch.tiles]
    for table, rows in (
        (EVENTS, [row for batch in batches for row in batch.rows]),
        (EVENT_IDS, [row for batch in batches for row in batch.ids]),
        (TILES, tiles),
        (POSTINGS, [row for batch in batches for row in batch.postings]),
        (SPANS, [row for batch in batches for row in batch.spans]),
    ):
        await copy(connection, table, rows)


async def _nothing() -> None:
    """Nothing is written yet."""


async def copy(
    connection: Connection, table: Table, rows: Sequence[Sequence[object]], schema: str | None = None
) -> None:
    """Add rows by binary COPY, in the transaction that is open."""
    if rows:
        await connection.copy_records_to_table(table.name, records=_in_turns(rows), schema_name=schema)


async def edge(connection: Connection, understand: Understand) -> Edge:
    """Where the book ends, from what is stored.

    Raises:
        LedgerDiverged: it does not add up.
    """
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        position = await position_of(connection)
        rows: list[Row] = []
        upper = []
        for level, (full, _) in enumerate(levels_of(position.size)):
            if level == 0:
                begin = position.first + full * BLOCK
                query = "SELECT * FROM events WHERE sequence >= $1 AND sequence <= $2 ORDER BY sequence"
                rows = [Row(*row) for row in await connection.fetch(query, begin, position.last)]
            else:
                query = "SELECT root FROM tiles WHERE level = $1 AND idx >= $2 ORDER BY idx"
                found = await connection.fetch(query, level - 1, full * TILE_WIDTH)
                upper.append(b"".join(root for (root,) in found))
    return Edge(position, rows, upper, understand)


async def position_of(connection: Connection) -> Position:
    """How far the book is."""
    row = await connection.fetchrow("SELECT first_seq, last_seq, root FROM position")
    if row is None:
        raise LedgerDiverged("the ledger's position is gone from its database")
    return Position(*row)


async def _in_turns(rows: Iterable[Sequence[object]]) -> AsyncIterator[Sequence[object]]:
    each = iter(rows)
    while some := list(islice(each, _TURN)):
        for row in some:
            yield row
        await asyncio.sleep(0)
