"""Which database the book is in."""

from collections.abc import Callable, Mapping
from pathlib import Path

from services.ledger.adapters.sqlite.book import SqliteBook
from services.ledger.domain.understood import Understand
from services.ledger.ports.book import Book


def book_in(
    path: Path,
    url: str,
    password_file: Path | None,
    understand: Understand,
    login: Callable[[], Mapping[str, str]] | None = None,
) -> Book:
    """PostgreSQL at `url` if there is one, else SQLite in `path`; `login`, if any, is asked for each connection."""
    if not url:
        return SqliteBook(path, understand)
    from services.ledger.adapters.postgres.book import PostgresBook
    from services.ledger.adapters.postgres.connection import Database

    return PostgresBook(Database(url, password_file, login), understand)
