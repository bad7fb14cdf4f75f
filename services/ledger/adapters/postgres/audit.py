"""The audit of a PostgreSQL book: one snapshot read once from end to end, all that is derived recomputed beside it."""

import asyncio
from collections.abc import Sequence

from sqlalchemy import Table

from services.ledger.adapters.postgres.connection import Connection, Database
from services.ledger.adapters.postgres.definition import LIVE, id_column, table_name
from services.ledger.adapters.postgres.folding import tell
from services.ledger.adapters.postgres.rows import copy, position_of
from services.ledger.adapters.schema import EVENT_IDS, POSTINGS, PROJECTIONS, SPANS
from services.ledger.domain.audit import Audit, Finding
from services.ledger.domain.checkpoint import Checkpoint
from services.ledger.domain.entry import Row, read_row
from services.ledger.domain.facts import Told
from services.ledger.domain.position import Position
from services.ledger.domain.terms import BLOCK, Block, known_id, terms_of
from services.ledger.domain.tree import Tile
from services.ledger.domain.understood import Understand
from services.ledger.ports.book import Audited

_AT_ONCE = 200  # payloads may be large
_INDEXES = (EVENT_IDS, POSTINGS, SPANS)
_SECONDS = 600.0
_KEYED = {"enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off"}
_PLACE = f"SELECT oid FROM pg_namespace WHERE nspname = '{LIVE}'"  # noqa: S608 - a name of ours


async def audit(database: Database, heads: Sequence[Checkpoint], understand: Understand) -> Audited:
    """Everything that does or does not hold in the book, looked at over a connection of its own.

    Names are looked up in the present, whatever the snapshot: when the book was replaced meanwhile, it is done again.
    """
    while True:
        connection = await database.connect(statement_seconds=_SECONDS, settings=_KEYED)
        try:
            async with database.explained():
                place = await connection.fetchval(_PLACE)
                audited = await _audit(connection, heads, understand)
                if await connection.fetchval(_PLACE) == place:
                    return audited
        finally:
            connection.terminate()  # with it go the temporary tables


async def _audit(connection: Connection, heads: Sequence[Checkpoint], understand: Understand) -> Audited:
    # Temporary tables hide the book's of the same names; those are called by their whole names from here on.
    for table in (*PROJECTIONS.values(), *_INDEXES):
        keyed = "" if table in _INDEXES else "INCLUDING INDEXES"
        name = table_name(table)
        await connection.execute(f"CREATE TEMPORARY TABLE {name} (LIKE {LIVE}.{name} {keyed})")
    async with connection.transaction(isolation="repeatable_read"):
        position = await position_of(connection)
        kept = await connection.fetch("SELECT size, root FROM heads")
        loop = asyncio.get_running_loop()

        def stored_tile(level: int, index: int) -> Tile | None:
            # Called on the thread that looks through rows; the connection does nothing else meanwhile.
            query = connection.fetchrow("SELECT * FROM tiles WHERE level = $1 AND idx = $2", level, index)
            row = asyncio.run_coroutine_threadsafe(query, loop).result()
            return None if row is None else Tile(*row)

        running = Audit(position, [*(Checkpoint("", *row) for row in kept), *heads], stored_tile)
        recomputing = _Recomputing(understand)
        rows = await connection.cursor("SELECT * FROM events ORDER BY sequence")
        while batch := await rows.fetch(_AT_ONCE):
            told = await asyncio.to_thread(recomputing.take, running, [Row(*row) for row in batch])
            await tell(connection, told)
            for table, made in recomputing.made.items():
                await copy(connection, table, made)
                made.clear()
        tiles = await connection.fetchval("SELECT count(*) FROM tiles")
        found = await asyncio.to_thread(running.finish, tiles)
        await connection.execute("SET LOCAL enable_seqscan = on; SET LOCAL work_mem = '64MB'")
        return Audited(
            position, (*found, await _projections(connection), await _indexes(connection, position))
        )


class _Recomputing:
    """What events tell and are found by, to be held against what is stored."""

    def __init__(self, understand: Understand) -> None:
        self._understand = understand
        self._block = Block(0)
        self.made: dict[Table, list[Sequence[object]]] = {table: [] for table in _INDEXES}

    def take(self, running: Audit, rows: Sequence[Row]) -> list[Told]:
        """Look at the next rows; the facts they tell."""
        told = []
        for row in rows:
            running.take(row)
            entry = read_row(row)
            fact, links = self._understand(entry)
            if fact is not None:
                told.append(Told(entry.tenant, entry.sequence, entry.event_id, fact, entry.actor))
            self.made[EVENT_IDS].append(known_id(entry.event_id, entry.sequence))
            self._block.add(terms_of(entry, links), entry.at_us)
            if self._block.full:
                self.made[POSTINGS].extend(self._block.postings())
                self.made[SPANS].append(self._block.span())
                self._block = Block(self._block.number + 1)
        return told


async def _projections(connection: Connection) -> Finding:
    for table in PROJECTIONS.values():
        shown = f"tenant, {id_column(table)}, {'sequence' if 'sequence' in table.c else 0}"
        for extra in _differences(table):
            row = await connection.fetchrow(f"SELECT {shown} FROM ({extra}) AS extra LIMIT 1")  # noqa: S608
            if row is not None:
                tenant, id_, sequence = row
                detail = f"{table.name} row {id_} of tenant {tenant} is not what the events add up to"
                return Finding("projections", False, detail, sequence)
    names = ", ".join(table.name for table in PROJECTIONS.values())
    return Finding("projections", True, f"{names} recomputed from the events")


async def _indexes(connection: Connection, position: Position) -> Finding:
    for table, place in ((EVENT_IDS, "sequence"), (SPANS, "block"), (POSTINGS, "block")):
        asked = [f"SELECT min({place}) FROM ({extra}) AS extra" for extra in _differences(table)]  # noqa: S608
        found = [at for each in asked if (at := await connection.fetchval(each)) is not None]
        if found:
            sequence = min(found) if place == "sequence" else position.first + min(found) * BLOCK
            detail = f"{table.name} does not say what the events from {sequence} on are"
            return Finding("indexes", False, detail, sequence)
    return Finding("indexes", True, "ids, terms and times recomputed from the events")


def _differences(table: Table) -> list[str]:
    """Queries for rows that the book has and ought not to, and that it ought to have and has not."""
    name = table_name(table)
    stored, made = f"SELECT * FROM {LIVE}.{name}", f"SELECT * FROM pg_temp.{name}"  # noqa: S608 - names are ours
    return [f"{stored} EXCEPT {made}", f"{made} EXCEPT {stored}"]
