"""Reading: a few connections, statements in SQLAlchemy's words or in plain SQL, and hashes of the tree."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import asyncpg  # type: ignore[import-untyped]
from sqlalchemy import Select

from services.ledger.adapters.postgres.connection import Connection, Database, Record
from services.ledger.adapters.postgres.definition import DIALECT, LIVE
from services.ledger.adapters.searching import Search
from services.ledger.domain.proofs import Slice
from services.ledger.domain.tree import HASH_BYTES, TILE_WIDTH

R = TypeVar("R")
_CONNECTIONS = 4
_LOST = (asyncpg.InterfaceError, asyncpg.PostgresConnectionError, asyncpg.AdminShutdownError, ConnectionError)
_SETTINGS = {"enable_hashjoin": "off", "enable_mergejoin": "off"}  # everything asked here is found by a key
# Each slice that is asked for is a number of the asker's, a level, where it begins and how long it is.
_ASKED = "unnest($1::int[], $2::int[], $3::bigint[], $4::int[]) AS asked (n, high, begin, length)"
_TILES = (
    f"SELECT n, substr(hashes, (begin % {TILE_WIDTH})::int * {HASH_BYTES} + 1, length * {HASH_BYTES}) "  # noqa: S608
    f"FROM {_ASKED} JOIN tiles ON level = high AND idx = begin / {TILE_WIDTH}"
)
_LEAVES = (
    f"SELECT n, string_agg(leaf_hash, ''::bytea ORDER BY sequence) FROM position, {_ASKED} "  # noqa: S608 - as above
    "JOIN LATERAL (SELECT sequence, leaf_hash FROM events WHERE sequence >= first_seq + begin "
    "AND sequence < first_seq + begin + length) AS leaves ON true GROUP BY n"
)
_ROOTS = (
    f"SELECT n, string_agg(root, ''::bytea ORDER BY idx) FROM {_ASKED} "  # noqa: S608 - as above
    "JOIN tiles ON level = high - 1 AND idx >= begin AND idx < begin + length GROUP BY n"
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
        self._user = database.user

    async def fetch(self, statement: str, *values: object) -> Sequence[Record]:
        """The rows of one statement; asked twice when a connection proves to be lost."""
        async with self._database.explained():
            async with self._opening:
                await self._pool  # makes nothing but the pool itself, and only once
                if self._user != self._database.user:
                    self._user = self._database.user
                    await self._pool.expire_connections()
            try:
                rows: Sequence[Record] = await self._pool.fetch(statement, *values)
            except _LOST:
                rows = await self._pool.fetch(statement, *values)
            return rows

    async def select(self, query: "Select[Any]") -> Sequence[Record]:
        """The rows of a statement in SQLAlchemy's words."""
        return await self.fetch(*compiled(query))

    async def find(self, search: Search[R]) -> R:
        """What a search finds. Between two statements it looks at so few rows that nobody waits for it."""
        try:
            query = next(search)
            while True:
                query = search.send(await self.select(query))
        except StopIteration as done:
            found: R = done.value
            return found

    async def hashes(self, slices: Sequence[Slice]) -> list[bytes]:
        """As `ports.Book.hashes`: of full tiles just what is wanted, the rest from what they will be made of."""
        found = await self._found(_TILES, dict(enumerate(slices)))
        missing = {n: part for n, part in enumerate(slices) if n not in found}
        found |= await self._found(_LEAVES, {n: part for n, part in missing.items() if part.level == 0})
        found |= await self._found(_ROOTS, {n: part for n, part in missing.items() if part.level > 0})
        return [found.get(n, b"") for n in range(len(slices))]

    async def _found(self, statement: str, parts: Mapping[int, Slice]) -> dict[int, bytes]:
        if not parts:
            return {}
        columns = [list(column) for column in zip(*parts.values(), strict=True)]
        return {row[0]: row[1] for row in await self.fetch(statement, list(parts), *columns)}

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

    async def _connect(self, *_: object, **__: object) -> Connection:
        return await self._database.connect(self._schema, settings=_SETTINGS)


def compiled(query: "Select[Any]") -> tuple[Any, ...]:
    """Text and values, as asyncpg takes them."""
    made = query.compile(dialect=DIALECT, compile_kwargs={"render_postcompile": True})
    values = made.construct_params()
    return made.string, *(values[name] for name in made.positiontup or ())


async def _nothing(_: Connection) -> None:
    """Nobody changes the settings of a reading connection."""
