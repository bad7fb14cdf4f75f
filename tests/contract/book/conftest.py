"""Every test here runs against each book there is."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from services.ledger.ports.book import Book
from tests.contract.book.shelves import PostgresShelf, Shelf, SqliteShelf
from tests.fakes.postgres_server import PostgresServer, new_database, postgres_server, postgres_url

__all__ = ["postgres_server", "postgres_url"]


@pytest_asyncio.fixture(params=["sqlite", "postgres"])
async def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Shelf]:
    if request.param == "sqlite":
        shelf: Shelf = SqliteShelf(tmp_path / "ledger" / "ledger.db")
    else:
        server: PostgresServer = request.getfixturevalue("postgres_server")
        shelf = PostgresShelf(await new_database(server))
    yield shelf
    await shelf.close()


@pytest_asyncio.fixture
async def book(shelf: Shelf) -> Book:
    return await shelf.open()
