"""Reading: a few connections, statements in SQLAlchemy's words or in plain SQL, and hashes of the tree."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import asyncpg  # type: ignore[import-untyped]
from sqlalchemy import Select

from services.ledger.adapters.postgres.connection import Connection, Database, Record
from services.ledger.adapters.postgres.definition import DIALECT, LIVE
from services.ledger.adapters.searching import Query, Search
from services.ledger.domain.proofs import Slice
from services.ledger.domain.tree import HASH_BYTES, TILE_WIDTH

R = TypeVar("R")
_CONNECTIONS = 4
_LOST = (asyncpg.InterfaceError, asyncpg.PostgresConnectionError, asyncpg.AdminShutdownError, ConnectionError)
_SETTINGS = {"enable_hashjoin": "off", "enable_mergejoin": "off"}  # everything asked here is found by a key
_TILES = (
    "SELECT n, substr(hashes, begin, length) FROM unnest($1::int[], $2::bigint[], $3::int[], $4::int[]) "
    "WITH ORDINALITY AS asked (level, idx, begin, length, n) JOIN tiles USING (level, idx)"
)


class Reader:
    """Asks the tables of the book. Every method may raise Unavailable and LedgerDiverged."""

    def __init__(self, database: Database, schema: str = LIVE) -> None:
        self._database = database
        self._schema = schema
        self._pool: asyncpg.Pool = asyncpg.create_pool(
            connect=self._connect, min_size=0, max_size=_CONNECTIONS, reset=_nothing
        )
        self._opening = asyncio.Lock()

    async def fetch(self, statement: str, *values: object) -> Sequence[Record]:
        """The rows of one statement; asked twice when a connection proves to be lost."""
        async with self._database.explained():
            async with self._opening:
                await self._pool  # makes nothing but the pool itself, and only once
            try:
                rows: Sequence[Record] = await self._pool.fetch(statement, *values)
            except _LOST:
                rows = await self._pool.fetch(statement, *values)
            return rows

    async def select(self, query: "Select[Any]") -> Sequence[Record]:
        """The rows of a statement in SQLAlchemy's words."""
        return await self.fetch(*compiled(query))

    async def find(self, search: Search[R]) -> R:
        """What a search finds. It thinks on a thread: it may look through thousands of events."""
        step = await asyncio.to_thread(_step, lambda: next(search))
        while isinstance(step, _Ask):
            rows = await self.select(step.query)
            step = await asyncio.to_thread(_step, lambda rows=rows: search.send(rows))  # type: ignore[misc]
        found: R = step
        return found

    async def hashes(self, slices: Sequence[Slice]) -> list[bytes]:
        """As `ports.Book.hashes`: all full tiles are asked for at once, and only what is wanted of them."""
        places = [(part.level, *divmod(part.start, TILE_WIDTH), part.length) for part in slices]
        asked = [(level, index, n * HASH_BYTES + 1, count * HASH_BYTES) for level, index, n, count in places]
        rows = await self.fetch(_TILES, *map(list, zip(*asked, strict=True))) if asked else []
        found: dict[int, bytes] = {row[0]: row[1] for row in rows}
        return [found[n] if n in found else await self._unfinished(part) for n, part in enumerate(slices, 1)]

    async def leaf_hashes(self, first: int, last: int) -> list[tuple[int, bytes]]:
        """As `ports.Book.leaf_hashes`."""
        query = (
            "SELECT sequence, leaf_hash FROM events WHERE sequence >= $1 AND sequence <= $2 ORDER BY sequence"
        )
        return [(sequence, leaf) for sequence, leaf in await self.fetch(query, first, last)]

    async def close(self) -> None:
        """Let go of every connection."""
        async with self._opening:
            await self._pool  # only what was opened can be closed
            self._pool.terminate()

    async def _unfinished(self, part: Slice) -> bytes:
        if part.level == 0:
            ((begin,),) = await self.fetch("SELECT first_seq FROM position")
            rows = await self.leaf_hashes(begin + part.start, begin + part.start + part.length - 1)
            return b"".join(leaf for _, leaf in rows)
        query = "SELECT root FROM tiles WHERE level = $1 AND idx >= $2 AND idx < $3 ORDER BY idx"
        found = await self.fetch(query, part.level - 1, part.start, part.start + part.length)
        return b"".join(root for (root,) in found)

    async def _connect(self, *_: object, **__: object) -> Connection:
        return await self._database.connect(self._schema, settings=_SETTINGS)


def compiled(query: "Select[Any]") -> tuple[Any, ...]:
    """Text and values, as asyncpg takes them."""
    made = query.compile(dialect=DIALECT, compile_kwargs={"render_postcompile": True})
    values = made.construct_params()
    return made.string, *(values[name] for name in made.positiontup or ())


class _Ask:
    def __init__(self, query: Query) -> None:
        self.query = query


def _step(go_on: Callable[[], Query]) -> Any:
    """What a search asks for next, or else what it found: StopIteration does not travel between threads."""
    try:
        return _Ask(go_on())
    except StopIteration as done:
        return done.value


async def _nothing(_: Connection) -> None:
    """Nobody changes the settings of a reading connection."""
