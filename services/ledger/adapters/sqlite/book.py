"""The book: one writer on a thread of its own, readers on others, and a draft that can take its place.

The event loop never waits for the disk. While a draft takes the book's place nobody reads or writes; that is the time
of a rename. An audit, which may take minutes, has a thread of its own, too; it makes way and begins anew.
"""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.exc import DBAPIError

from kernel.faults import Unavailable
from services.ledger.adapters.lookups import Lookups
from services.ledger.adapters.searching import Search, run_search
from services.ledger.adapters.sqlite.audit import audit
from services.ledger.adapters.sqlite.disk import explain, sync
from services.ledger.adapters.sqlite.draft import SqliteDraft
from services.ledger.adapters.sqlite.heads import keep_head, read_heads
from services.ledger.adapters.sqlite.tiles import Run, leaf_hashes, read_slices
from services.ledger.adapters.sqlite.versions import put_aside
from services.ledger.adapters.sqlite.writer import Writer
from services.ledger.domain.checkpoint import Checkpoint
from services.ledger.domain.entry import Entry, Message, Row, read_row
from services.ledger.domain.position import Position
from services.ledger.domain.proofs import Slice
from services.ledger.domain.records import SignedHead
from services.ledger.domain.understood import Understand
from services.ledger.ports.book import Audited

T = TypeVar("T")
_READERS = 3
_WAIT_SECONDS = 10.0
_STEPS = 1000
"""Of SQLite's machine, after which an audit looks whether it is still wanted: some milliseconds."""


class SqliteBook(Lookups):
    """Implements `ports.Book` with the database in `path`, which is made if it is not there."""

    def __init__(self, path: Path, understand: Understand) -> None:
        super().__init__(understand)
        self._path = path
        self._draft_path = path.with_name(path.name + ".draft")
        self._writing = ThreadPoolExecutor(1, "ledger-writer")
        self._reading = ThreadPoolExecutor(_READERS, "ledger-reader")
        self._auditing = ThreadPoolExecutor(1, "ledger-auditor")
        self._audits = asyncio.Lock()
        self._gate = _Gate()
        self._writer: Writer | None = None
        self._engine: Engine | None = None

    async def open(self) -> None:
        def open_once() -> None:
            if self._writer is None:
                self._open()

        await self._on(self._writing, open_once)

    async def close(self) -> None:
        """Finish what is being written and let go of the file."""
        async with self._gate.alone():
            await self._on(self._writing, self._close)
        self._writing.shutdown()
        self._reading.shutdown()
        self._auditing.shutdown()

    async def position(self) -> Position:
        if self._writer is not None or self._engine is None:
            return await self._write(lambda writer: writer.position)
        # It does not add up and is not written on. Whoever builds it anew has to come as far as its rows do.
        query = "SELECT coalesce(min(sequence), 0), coalesce(max(sequence), 0) FROM events"
        ((first, last),) = await self._read(lambda run: run(query, ()))
        return Position(first, last)

    async def append(self, messages: Sequence[Message]) -> Position:
        return await self._write(lambda writer: writer.append(messages))

    async def keep_head(self, head: SignedHead) -> None:
        await self._write(lambda writer: keep_head(writer, head))

    async def hashes(self, slices: Sequence[Slice]) -> list[bytes]:
        return await self._read(lambda run: read_slices(run, slices))

    async def leaf_hashes(self, first: int, last: int) -> list[tuple[int, bytes]]:
        return await self._read(lambda run: leaf_hashes(run, first, last))

    async def rows(self, first: int, last: int) -> list[Entry]:
        query = "SELECT * FROM events WHERE sequence >= ? AND sequence <= ? ORDER BY sequence"
        return await self._read(lambda run: [read_row(Row(*row)) for row in run(query, (first, last))])

    async def heads(self) -> Sequence[SignedHead]:
        return await self._read(read_heads)

    async def audit(self, heads: Sequence[Checkpoint]) -> Audited:
        async with self._audits:
            while True:
                async with self._gate.shared():
                    audited = await self._audit(heads)
                if audited is not None:
                    return audited

    async def _audit(self, heads: Sequence[Checkpoint]) -> Audited | None:
        """None: somebody wants the book for himself. When nobody waits for it any more, it is over before this is."""
        given_up = threading.Event()

        def run() -> Audited | None:
            with closing(sqlite3.connect(self._path, isolation_level=None, timeout=_WAIT_SECONDS)) as db:
                db.set_progress_handler(lambda: given_up.is_set() or self._gate.is_shut, _STEPS)
                try:
                    return audit(db, heads, self._understand)
                except sqlite3.OperationalError as problem:
                    if problem.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
                        raise
                    return None

        running = asyncio.ensure_future(self._on(self._auditing, run))
        try:
            return await asyncio.shield(running)
        finally:
            given_up.set()
            await asyncio.wait({running})

    async def beside(self) -> SqliteDraft:
        return SqliteDraft(self._draft_path, self._replace_by)

    async def _replace_by(self, fresh: Path) -> None:
        def replace() -> None:
            self._close()
            try:
                # Closing has put everything into the one file: a log left behind would be another file's.
                for suffix in ("-wal", "-shm"):
                    self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
                fresh.replace(self._path)
                sync(self._path.parent)
            finally:
                self._open()

        async with self._gate.alone():
            await self._on(self._writing, replace)

    def _open(self) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._engine is None:
            self._engine = create_engine("sqlite://", creator=self._connect, pool_size=_READERS)
        # Last: what does not add up cannot be written on, but it can still be read, and audited.
        heads = put_aside(self._path)
        self._writer = Writer(self._path, self._understand)
        for head in heads:
            self._writer.execute("INSERT INTO heads VALUES (?, ?, ?, ?)", head)

    def _close(self) -> None:
        if self._engine is not None:
            self._engine.dispose()
        if self._writer is not None:
            self._writer.close()
        self._writer = self._engine = None

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, check_same_thread=False, timeout=_WAIT_SECONDS)
        db.execute("PRAGMA query_only=ON")
        return db

    async def _write(self, call: Callable[[Writer], T]) -> T:
        def run() -> T:
            if self._writer is None:
                raise _not_open()
            return call(self._writer)

        async with self._gate.shared():
            return await self._on(self._writing, run)

    async def _read(self, call: Callable[[Run], T]) -> T:
        def on(connection: Connection) -> T:
            # Past SQLAlchemy: a proof asks some twenty small questions, and they must not cost more than their answers.
            db = connection.connection.driver_connection
            assert isinstance(db, sqlite3.Connection)
            return call(lambda text, values: db.execute(text, values).fetchall())

        return await self._connected(on)

    async def _find(self, search: Search[T]) -> T:
        return await self._connected(
            lambda connection: run_search(search, lambda query: connection.execute(query).fetchall())
        )

    async def _connected(self, call: Callable[[Connection], T]) -> T:
        def run() -> T:
            if self._engine is None:
                raise _not_open()
            with self._engine.connect() as connection:
                return call(connection)

        async with self._gate.shared():
            return await self._on(self._reading, run)

    async def _on(self, threads: ThreadPoolExecutor, call: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(threads, call)
        except sqlite3.Error as problem:
            explain(problem, self._path)
        except DBAPIError as problem:
            if not isinstance(problem.orig, sqlite3.Error):
                raise
            explain(problem.orig, self._path)


def _not_open() -> Unavailable:
    return Unavailable("STORE_UNREACHABLE", "the ledger's database is not open; the ledger's log says why")


class _Gate:
    """Many at once, or one alone."""

    def __init__(self) -> None:
        self._inside = 0
        self._open = asyncio.Event()
        self._open.set()
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def is_shut(self) -> bool:
        """Whether somebody is alone, or waits to be. Any thread may ask."""
        return not self._open.is_set()

    @asynccontextmanager
    async def shared(self) -> AsyncIterator[None]:
        while not self._open.is_set():
            await self._open.wait()
        self._inside += 1
        self._empty.clear()
        try:
            yield
        finally:
            self._inside -= 1
            if not self._inside:
                self._empty.set()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        while not self._open.is_set():
            await self._open.wait()
        self._open.clear()
        try:
            await self._empty.wait()
            yield
        finally:
            self._open.set()
