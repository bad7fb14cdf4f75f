"""Databases of another version: put aside, as what is in them comes again from the log; all but the signed heads."""

import sqlite3
from contextlib import closing
from pathlib import Path

from services.ledger.adapters.schema import HEADS, POSITION, VERSION
from services.ledger.adapters.sqlite.disk import remove

Head = tuple[int, bytes, str, int]
"""A row of `heads`, which is the same in every version."""


def put_aside(path: Path) -> list[Head]:
    """The heads of the database in `path` if it is of another version; it is then found as `<path>.v<version>`.

    Raises:
        sqlite3.Error: it is damaged, or cannot be read now.
    """
    if not path.exists():
        return []
    with closing(sqlite3.connect(path, isolation_level=None, timeout=10.0)) as db:
        names = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if POSITION.name not in names or version == VERSION:
            return []
        heads: list[Head] = (
            db.execute("SELECT size, root, note, at_us FROM heads").fetchall() if HEADS.name in names else []
        )
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    aside = path.with_name(f"{path.name}.v{version}")
    remove(aside)
    path.replace(aside)
    remove(path)
    return heads
