"""The one connection that writes: to the book, as the leader of all replicas, or to a draft.

The leader holds a lock of its session, which the server takes back when it is gone. What protects the book is not the
lock but the fence: whoever writes must move the position from where it knows it to be.
"""

import asyncio
from collections.abc import Sequence

from chassis.telemetry import get_logger
from kernel.faults import Unavailable
from services.ledger.adapters.postgres.connection import (
    FAILURES,
    STATEMENT_SECONDS,
    Connection,
    Database,
    Record,
)
from services.ledger.adapters.postgres.rows import append, edge
from services.ledger.domain.entry import Message
from services.ledger.domain.growth import Edge
from services.ledger.domain.position import Position
from services.ledger.domain.understood import Understand

_DRAFT_SECONDS = 3600.0
_LOCKS = 0x70726F76  # "prov": the first half of the numbers of our locks
_POINT_LOOKUPS = {  # every statement of a writer looks rows up by key, however little the planner knows of them
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}
# What whoever runs the database has chosen stays, unless it would make an append forgettable.
_DURABLY = (
    "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
)
_TRY = (
    "SELECT CASE WHEN EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND pid = pg_backend_pid() "
    "AND classid::bigint = $1 AND objid::bigint = $2) THEN true ELSE pg_try_advisory_lock($1::int, $2::int) END"
)
_log = get_logger("ledger.postgres")


class Writer:
    """Appends to the tables in `schema`, while it holds the lock numbered `lock`.

    Every method may raise Unavailable (nothing was changed, or nobody can say whether it was: the next call looks) and
    LedgerDiverged.
    """

    def __init__(
        self, database: Database, schema: str, lock: int, understand: Understand, *, durable: bool
    ) -> None:
        self._database = database
        self._schema = schema
        self._lock = lock
        self._understand = understand
        self._durable = durable
        # The last statement of a draft makes its indexes.
        self._seconds = STATEMENT_SECONDS if durable else _DRAFT_SECONDS
        self._connection: Connection | None = None
        self._edge: Edge | None = None
        self._user = ""
        self._alone = asyncio.Lock()

    async def leads(self) -> bool:
        """Whether this is the writer now; if nobody is, it becomes it."""
        async with self._alone, self._database.explained():
            return await self._leading() is not None

    async def position(self) -> Position:
        """Where the tables end. Only the leader may ask."""
        async with self._alone, self._database.explained():
            return (await self._known(await self._led())).position

    async def append(self, messages: Sequence[Message]) -> Position | None:
        """As `ports.Book.append`; None when somebody else is the writer."""
        async with self._alone:
            try:
                async with self._database.explained():
                    connection = await self._leading()
                    return None if connection is None else await self._append(connection, messages)
            except BaseException:
                self._edge = None  # it may have moved on while the tables have not
                raise

    async def fetch(self, statement: str, *values: object) -> Sequence[Record]:
        """Run one statement on the writer's connection, leader or not."""
        async with self._alone, self._database.explained():
            rows: Sequence[Record] = await (await self._connected()).fetch(statement, *values)
            return rows

    async def forget(self) -> None:
        """Look again before the next append: the tables are others now."""
        async with self._alone:
            self._edge = None

    async def take_over(self) -> None:
        """End the session of a leader that holds the lock and does nothing. It finds out when it wakes."""
        query = (
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted "
            "AND classid::bigint = $1 AND objid::bigint = $2 AND objsubid = 2 AND pid <> pg_backend_pid() "
            "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        _log.warning("the ledger that writes does nothing: taking over")
        await self.fetch(query, _LOCKS, self._lock)

    async def close(self) -> None:
        """Let go; others may lead then."""
        async with self._alone:
            await self._let_go()

    async def _append(self, connection: Connection, messages: Sequence[Message]) -> Position:
        known = await self._known(connection)
        if any(each.sequence > known.position.last for each in messages):
            await append(connection, known, messages)
        return known.position

    async def _known(self, connection: Connection) -> Edge:
        if self._edge is None:
            self._edge = await edge(connection, self._understand)
        return self._edge

    async def _led(self) -> Connection:
        connection = await self._leading()
        if connection is None:
            raise stands_by()
        return connection

    async def _leading(self) -> Connection | None:
        """The connection if it holds the lock; a new connection tries to get it, and an old one that has not, too."""
        connection = await self._connected()
        if self._edge is None and not await connection.fetchval(_TRY, _LOCKS, self._lock):
            return None
        return connection

    async def _connected(self) -> Connection:
        user = self._database.user
        if user != self._user:
            await self._let_go()  # its session ends before the next one asks for the lock
        if self._connection is None or self._connection.is_closed():
            self._edge, self._user = None, user
            self._connection = await self._database.connect(self._schema, self._seconds, _POINT_LOOKUPS)
            await self._connection.execute(_DURABLY if self._durable else "SET synchronous_commit = off")
        return self._connection

    async def _let_go(self) -> None:
        connection, self._connection, self._edge = self._connection, None, None
        if connection is not None:
            try:
                await connection.close(timeout=5)
            except FAILURES:
                connection.terminate()


def stands_by() -> Unavailable:
    """This replica is not the one that writes."""
    return Unavailable("STORE_UNREACHABLE", "another replica of the ledger is doing that: ask it, or wait")
