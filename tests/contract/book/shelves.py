"""Where a book stands, whatever the database: opened, closed, opened again, and edited behind the ledger's back."""

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]

from services.ledger.adapters.postgres.book import PostgresBook
from services.ledger.adapters.postgres.connection import Database
from services.ledger.adapters.schema import METADATA
from services.ledger.adapters.sqlite.book import SqliteBook
from services.ledger.domain import tree
from services.ledger.domain.entry import Message, row_of
from services.ledger.ports.book import Book
from services.ledger.wire.understanding import understand


class Shelf(ABC):
    """The books opened on it are closed with it."""

    def __init__(self) -> None:
        self._open: list[SqliteBook | PostgresBook] = []

    async def open(self) -> Book:
        """The book, or one more handle on it."""
        book = self._made()
        self._open.append(book)
        await book.open()
        return book

    async def close(self) -> None:
        for book in self._open:
            await book.close()
        self._open = []

    @abstractmethod
    async def edit(self, statement: str, *values: object) -> int:
        """Edit the database without its triggers; how many rows it was.

        The statement's words are replaced: `$1` stays, `zeros(n)` is n zero bytes and `hex(00)` the byte.
        """

    @abstractmethod
    async def refused(self, statement: str) -> str:
        """What the database says to a statement that it refuses to somebody who does not touch its triggers."""

    @abstractmethod
    def _made(self) -> SqliteBook | PostgresBook: ...


class SqliteShelf(Shelf):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def _made(self) -> SqliteBook:
        return SqliteBook(self._path, understand)

    async def edit(self, statement: str, *values: object) -> int:
        db = sqlite3.connect(self._path, isolation_level=None, timeout=10)
        try:
            found = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
            for (trigger,) in db.execute(found).fetchall():
                db.execute(f"DROP TRIGGER {trigger}")
            for word, meant in (("zeros(", "zeroblob("), ("hex(00)", "x'00'"), ("forged(header)", _FORGED)):
                statement = statement.replace(word, meant)
            return db.execute(statement, values).rowcount
        finally:
            db.close()

    async def refused(self, statement: str) -> str:
        db = sqlite3.connect(self._path, isolation_level=None, timeout=10)
        try:
            db.execute(statement)
        except sqlite3.Error as problem:
            return str(problem)
        finally:
            db.close()
        return "it was not refused"


class PostgresShelf(Shelf):
    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url

    def _made(self) -> PostgresBook:
        return PostgresBook(Database(self.url), understand)

    async def edit(self, statement: str, *values: object) -> int:
        db = await self.connect()
        try:
            for table in METADATA.sorted_tables:
                await db.execute(f'ALTER TABLE "{table.name}" DISABLE TRIGGER ALL')
            for word, meant in (
                ("zeros(", "pg_temp.zeros("),
                ("hex(00)", "decode('00', 'hex')"),
                (
                    "forged(header)",
                    "convert_to(replace(convert_from(header, 'UTF8'), 'service', 'mallory'), 'UTF8')",
                ),
            ):
                statement = statement.replace(word, meant)
            await db.execute(
                "CREATE FUNCTION pg_temp.zeros(n int) RETURNS bytea LANGUAGE sql "
                "AS $$ SELECT decode(repeat('00', n), 'hex') $$"
            )
            return int(str(await db.execute(statement, *values)).rpartition(" ")[2])
        finally:
            await db.close()

    async def refused(self, statement: str) -> str:
        db = await self.connect()
        try:
            await db.execute(statement)
        except asyncpg.PostgresError as problem:
            return str(problem)
        finally:
            await db.close()
        return "it was not refused"

    async def connect(self) -> asyncpg.Connection:
        return await asyncpg.connect(self.url, server_settings={"search_path": "provost_ledger"})


_FORGED = "CAST(replace(header, 'service', 'mallory') AS BLOB)"


def root(messages: Sequence[Message]) -> bytes:
    """The root of their tree."""
    frontier, _ = tree.grow(tree.Frontier(), [row_of(each).leaf_hash for each in messages])
    return tree.root_of(frontier)
