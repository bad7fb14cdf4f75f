"""What a witness must not forget: the last head it signed of each log. One SQLite file, held by one process.

A head is on the disk before its signature leaves. A witness that has forgotten would sign a second history: so a key
without its memory does not start (`open_store`), and the only way back is by heads that bear its own signature
(`restore`).
"""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chassis import files
from provost_sdk.note import Checkpoint

MAX_KEPT_REFUSALS = 1000
"""For each log and reason: evidence enough, and no way to fill the disk with it."""

_HEADS = """
CREATE TABLE IF NOT EXISTS heads
 (origin TEXT PRIMARY KEY, size INTEGER NOT NULL, root BLOB NOT NULL, note TEXT NOT NULL, at INTEGER NOT NULL)"""
_REFUSED = """
CREATE TABLE IF NOT EXISTS refused
 (origin TEXT, size INTEGER, root BLOB, note TEXT NOT NULL, why TEXT NOT NULL, at INTEGER NOT NULL,
 PRIMARY KEY (origin, size, root))"""
_REMEMBER = (
    "INSERT INTO heads VALUES (?, ?, ?, ?, ?) ON CONFLICT (origin) DO UPDATE"
    " SET size = excluded.size, root = excluded.root, note = excluded.note, at = excluded.at WHERE excluded.size > size"
)


class MemoryLost(Exception):
    """The key has signed, and what it has signed is not known here."""


class MemoryTaken(Exception):
    """Another process holds it."""


class StoreTrouble(Exception):
    """It could not be written, or not be read; nothing may be signed."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A head and the note it came in; `at` is when, in POSIX seconds."""

    head: Checkpoint
    note: str
    at: int
    why: str = ""


class Store:
    """Every method may raise StoreTrouble. Calls from several threads must not overlap."""

    def __init__(self, path: Path) -> None:
        files.private_directory(path.parent)
        self._path = path
        try:
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=0.0)
            # One file, written through: EXTRA also syncs the directory when the journal goes.
            for pragma in ("locking_mode=EXCLUSIVE", "journal_mode=DELETE", "synchronous=EXTRA"):
                self._db.execute(f"PRAGMA {pragma}")
            self._db.execute("BEGIN EXCLUSIVE")
            for statement in (_HEADS, _REFUSED):
                self._db.execute(statement)
            self._db.execute("COMMIT")
        except sqlite3.Error as problem:
            if getattr(problem, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY:
                raise MemoryTaken(
                    f"another witness holds {path}; two with one key would sign two histories"
                ) from None
            raise StoreTrouble(f"{path} cannot be used: {problem}") from problem
        path.chmod(0o600)

    def last(self, origin: str) -> Checkpoint | None:
        """The head of a log that was last remembered."""
        rows = self._run("SELECT size, root FROM heads WHERE origin = ?", origin)
        return Checkpoint(origin, rows[0][0], rows[0][1]) if rows else None

    def remember(self, head: Checkpoint, note: str, at: int) -> None:
        """Take `head` for the last one of its log, unless that is as large. Durable when it returns."""
        values = (head.origin, head.size, head.root, note, at)
        self._run(_REMEMBER, *values)

    def accuse(self, head: Checkpoint, note: str, why: str, at: int) -> None:
        """Keep a head that the log has signed, and that may contradict what it signed before."""
        # Counted by reason: whoever sends true heads with false proofs must not crowd out what is evidence.
        full = "SELECT count(*) >= ? FROM refused WHERE origin = ? AND why = ?"
        if not self._run(full, MAX_KEPT_REFUSALS, head.origin, why)[0][0]:
            values = (head.origin, head.size, head.root, note, why, at)
            self._run("INSERT OR IGNORE INTO refused VALUES (?, ?, ?, ?, ?, ?)", *values)

    def heads(self) -> list[Kept]:
        """The last head of every log."""
        rows = self._run("SELECT origin, size, root, note, at FROM heads ORDER BY origin")
        return [Kept(Checkpoint(*row[:3]), *row[3:]) for row in rows]

    def refused(self, limit: int = 100) -> list[Kept]:
        """What may be held against logs, the newest first."""
        newest = (
            "SELECT origin, size, root, note, at, why FROM refused ORDER BY at DESC, origin, size LIMIT ?"
        )
        rows = self._run(newest, limit)
        return [Kept(Checkpoint(*row[:3]), *row[3:]) for row in rows]

    def close(self) -> None:
        self._db.close()

    def _run(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        try:
            return self._db.execute(statement, values).fetchall()
        except sqlite3.Error as problem:
            raise StoreTrouble(f"{self._path} cannot be used: {problem}") from problem


def open_store(path: Path, key_path: Path) -> Store:
    """The memory in `path`, made if the key in `key_path` is still to be made: that one has signed nothing yet.

    Raises:
        MemoryLost: the key is there and its memory is not.
        MemoryTaken, StoreTrouble: it is there, and cannot be used.
    """
    if key_path.exists() and not path.exists():
        raise MemoryLost(
            f"{path} is gone, and the key {key_path} has signed heads that nobody here knows of: signing on could "
            "vouch for two histories. Put the file back from a copy; or `restore` it from the newest checkpoints that "
            "bear this witness's signature; or remove the key, so that whoever trusts it notices"
        )
    return Store(path)


def restore(path: Path, heads: Iterable[Kept]) -> None:
    """Make a memory that was lost anew. The heads must be the newest that this witness has signed.

    Raises:
        ValueError: there is a memory, and it knows better; or two heads are of one log.
    """
    if path.exists():
        raise ValueError(f"{path} is there: nothing is restored over it")
    kept = list(heads)
    if len({each.head.origin for each in kept}) != len(kept):
        raise ValueError("two of the checkpoints are of one log: give the newest")
    fresh = path.with_name(path.name + ".restored")
    fresh.unlink(missing_ok=True)
    store = Store(fresh)
    for each in kept:
        store.remember(each.head, each.note, each.at)
    store.close()
    fresh.rename(path)
