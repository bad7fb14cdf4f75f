"""Which database the book is in."""

import ssl
from pathlib import Path
from typing import TYPE_CHECKING

from services.ledger.adapters.sqlite.book import SqliteBook
from services.ledger.domain.understood import Understand
from services.ledger.ports.book import Book

if TYPE_CHECKING:
    from services.ledger.adapters.postgres.connection import Login


def book_in(
    path: Path,
    url: str,
    password_file: Path | None,
    understand: Understand,
    login: "Login | None" = None,
    tls: ssl.SSLContext | None = None,
) -> Book:
    """PostgreSQL at `url` if there is one, else SQLite in `path`; `login`, if any, is asked for each connection.

    `tls` is what it is spoken to with, unless `url` says more about that.
    """
    if not url:
        return SqliteBook(path, understand)
    from services.ledger.adapters.postgres.book import PostgresBook
    from services.ledger.adapters.postgres.connection import Database

    return PostgresBook(Database(url, password_file, login, tls), understand)
