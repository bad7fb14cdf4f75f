"""The files of a SQLite database: on the disk, gone, and what it means to the ledger when they cannot be used."""

import os
import sqlite3
from pathlib import Path
from typing import NoReturn
from zlib import crc32

from kernel.faults import Unavailable
from services.ledger.domain.faults import LedgerDiverged

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")  # Linux
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def sync(path: Path) -> None:
    """Wait until a file's content, or a directory's entries, are on the disk. Raises Unavailable: it failed."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as problem:
        why = f"the ledger's database cannot be put on the disk: {problem}"
        raise Unavailable("STORE_UNREACHABLE", why, database=path.name) from problem


def machine_start() -> int | None:
    """A number (31 bits) that is another one when the machine has been started again; None where nobody can say."""
    try:
        return crc32(_BOOT_ID.read_bytes()) >> 1
    except OSError:
        return None


def remove(path: Path) -> None:
    """Remove a database with what SQLite may have left beside it."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def explain(problem: sqlite3.Error, path: Path) -> NoReturn:
    """Raise what a database error means to the ledger."""
    code = getattr(problem, "sqlite_errorcode", 0) & 0xFF
    if code in _DAMAGED:
        raise LedgerDiverged(
            f"the database {path.name} is damaged ({problem}); move it away and it is rebuilt from the event log"
        ) from problem
    if isinstance(problem, sqlite3.IntegrityError):
        raise LedgerDiverged(
            f"the database {path.name} has a row that the ledger has not written ({problem}): it was edited"
        ) from problem
    if isinstance(problem, sqlite3.OperationalError):
        raise Unavailable(
            "STORE_UNREACHABLE", f"the ledger's database cannot be used: {problem}", database=path.name
        ) from problem
    raise problem
