"""The one connection that writes. Synchronous: its owner runs it on a thread of its own.

Rows go in as tuples, many at a time; SQLAlchemy is asked for the text of the tables and nothing else.
"""

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from services.ledger.adapters.schema import (
    EVENT_IDS,
    METADATA,
    POSITION,
    POSTINGS,
    VERSION,
)
from services.ledger.adapters.sqlite.disk import explain, machine_start, sync
from services.ledger.adapters.sqlite.tables import (
    Projections,
    append_only,
    create_indexes,
    create_table,
    insert_all,
)
from services.ledger.adapters.sqlite.written import TABLES, Written, written
from services.ledger.domain.entry import Message, Row
from services.ledger.domain.faults import LedgerDiverged, WriterFenced
from services.ledger.domain.growth import Edge, levels_of
from services.ledger.domain.position import Position
from services.ledger.domain.terms import BLOCK
from services.ledger.domain.tree import EMPTY_ROOT, TILE_WIDTH
from services.ledger.domain.understood import Understand

_LIVE = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA cache_size=-32768",
    "PRAGMA wal_autocheckpoint=8192",
    "PRAGMA journal_size_limit=67108864",
)
# Written once and synced at the end: what is committed outlives the process, but not the machine.
_DRAFT = (
    "PRAGMA journal_mode=DELETE",
    "PRAGMA synchronous=OFF",
    "PRAGMA cache_size=-65536",
)
# Their rows come in any order: written where they belong, each batch would write most of their pages again.
STAGED = {EVENT_IDS: "staged_event_ids", POSTINGS: "staged_postings"}
Ending = tuple[Position, list[Row], list[bytes]]
"""A position, the rows behind the last full block, and the hashes of the frontier's upper levels."""
T = TypeVar("T")


class Writer:
    """Appends to the database in `path`, which it makes if it is not there.

    A `draft` is filled quickly, without indexes and triggers until `finish`, and what was appended last need not
    survive a crash of the machine. Every method may raise Unavailable (no room, or the database does not answer;
    nothing was changed) and LedgerDiverged (it is damaged).
    """

    def __init__(self, path: Path, understand: Understand, *, draft: bool = False) -> None:
        self._path = path
        self._understand = understand
        self._draft = draft
        self._edge: Edge
        self._staged = ""
        self._stale = False
        try:
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10.0)
            self._projections = Projections(self._db, "main")
            self._prepare()
            self._recover()
            found = self.execute("SELECT name FROM sqlite_master WHERE name = ?", (STAGED[EVENT_IDS],))
            self._staged = found[0][0] if found else ""
        except sqlite3.Error as problem:
            explain(problem, path)

    @property
    def position(self) -> Position:
        """As `ports.Book.position`."""
        try:
            if self._stale:
                self._recover()
        except sqlite3.Error as problem:
            explain(problem, self._path)
        return self._edge.position

    def append(self, messages: Sequence[Message]) -> Position:
        """As `ports.Book.append`."""

        def run() -> Position:
            if self._stale:
                self._recover()
            return self._append(messages)

        return self._wholly(run)

    def write(self, each: Written) -> None:
        """Write what another edge, made of `ending`, has taken: all or nothing.

        Raises:
            WriterFenced: it does not go on from where this ends.
        """
        self._stale = True
        self._wholly(lambda: self._write(each))

    def ending(self) -> Ending:
        """What an `Edge` is made of, as it is stored."""
        try:
            return self._ending()
        except sqlite3.Error as problem:
            explain(problem, self._path)

    def execute(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Run one statement and answer its rows."""
        try:
            return self._db.execute(statement, values).fetchall()
        except sqlite3.Error as problem:
            explain(problem, self._path)

    def finish(self) -> None:
        """Make indexes and triggers, and let the database check itself."""
        self._unstage()
        for statement in (*create_indexes(), *append_only()):
            self.execute(statement)
        found = self.execute("PRAGMA quick_check")
        if found != [("ok",)]:
            raise LedgerDiverged(f"the database {self._path.name} is damaged: {found[0][0]}")
        sync(self._path)  # now, when nobody waits for it

    def close(self) -> None:
        """Put everything into the one file and let go of it."""
        try:
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error:
            pass  # the next one to open the file does it
        self._db.close()

    def _prepare(self) -> None:
        for pragma in _DRAFT if self._draft else _LIVE:
            self._db.execute(pragma)
        self._db.execute("BEGIN IMMEDIATE")
        try:
            there = self._db.execute(
                "SELECT 1 FROM sqlite_master WHERE name = ?", (POSITION.name,)
            ).fetchone()
            if there is None:
                self._create()
            elif (version := self._db.execute("PRAGMA user_version").fetchone()[0]) != VERSION:
                raise LedgerDiverged(f"{self._path.name} is a database of version {version}, not {VERSION}")
            elif self._draft and self._db.execute("PRAGMA application_id").fetchone()[0] != machine_start():
                raise LedgerDiverged(f"{self._path.name} was written before the machine was started")
            self._db.execute("COMMIT")
        except BaseException:
            self._give_up()
            raise

    def _unstage(self) -> None:
        if not self._staged:
            return
        try:
            self._db.execute("BEGIN IMMEDIATE")
            for table, staged in STAGED.items():
                self._db.execute(f"INSERT INTO {table.name} SELECT * FROM {staged} ORDER BY 1, 2")  # noqa: S608 - names are ours
                self._db.execute(f"DROP TABLE {staged}")
            self._db.execute("COMMIT")
        except sqlite3.Error as problem:
            self._give_up()
            explain(problem, self._path)
        self._staged = ""

    def _create(self) -> None:
        for table in METADATA.sorted_tables:
            self._db.execute(create_table(table, "main"))
        if self._draft:
            for table, staged in STAGED.items():
                self._db.execute(f"CREATE TABLE {staged} AS SELECT * FROM {table.name}")  # noqa: S608 - names are ours
            self._db.execute(f"PRAGMA application_id = {machine_start() or 0}")
        else:
            for statement in (*create_indexes(), *append_only()):
                self._db.execute(statement)
        self._db.execute(f"PRAGMA user_version = {VERSION}")
        self._db.execute("INSERT INTO position VALUES (1, 0, 0, ?)", (EMPTY_ROOT,))

    def _recover(self) -> None:
        """The edge, from what is stored."""
        self._edge = Edge(*self._ending(), self._understand)
        self._stale = False

    def _ending(self) -> Ending:
        run = self._db.execute
        found = run("SELECT first_seq, last_seq, root FROM position").fetchone()
        if found is None:
            raise LedgerDiverged(f"{self._path.name} does not say how far it is: its position was removed")
        position = Position(*found)
        first, last = position.first, position.last
        rows: list[Row] = []
        upper: list[bytes] = []
        for level, (full, _) in enumerate(levels_of(position.size)):
            if level == 0:
                query = "SELECT * FROM events WHERE sequence >= ? AND sequence <= ? ORDER BY sequence"
                rows = [Row(*row) for row in run(query, (first + full * BLOCK, last))]
            else:
                query = "SELECT root FROM tiles WHERE level = ? AND idx >= ? ORDER BY idx"
                upper.append(b"".join(each for (each,) in run(query, (level - 1, full * TILE_WIDTH))))
        return position, rows, upper

    def _append(self, messages: Sequence[Message]) -> Position:
        old = self._edge.position
        batch = self._edge.take(messages)
        if batch.position != old:
            self._write(written(old, batch))
        return batch.position

    def _write(self, each: Written) -> None:
        new, run = each.new, self._db.execute
        run("BEGIN IMMEDIATE")
        # Whoever moves the position from where it was is the writer; the other one finds nothing to move.
        moved = run(
            "UPDATE position SET first_seq = ?, last_seq = ?, root = ? WHERE last_seq = ?",
            (new.first, new.last, new.root, each.old.last),
        )
        if moved.rowcount != 1:
            raise WriterFenced(each.old.last)
        for table, values in zip(TABLES, each.rows, strict=True):
            insert_all(self._db, table, values, self._staged and STAGED.get(table, ""))
        if each.told:
            self._projections.tell(each.told)
        run("COMMIT")

    def _wholly(self, call: Callable[[], T]) -> T:
        try:
            return call()
        except sqlite3.Error as problem:
            self._give_up()
            explain(problem, self._path)
        except BaseException:
            self._give_up()
            raise

    def _give_up(self) -> None:
        """Nothing of the open transaction is kept, and what is known is read again before the next one."""
        self._stale = True
        if self._db.in_transaction:
            try:
                self._db.execute("ROLLBACK")
            except sqlite3.Error:
                pass  # it was rolled back by what went wrong
