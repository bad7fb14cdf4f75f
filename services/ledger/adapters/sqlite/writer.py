"""The one connection that writes. Synchronous: its owner runs it on a thread of its own.

Rows go in as tuples, many at a time; SQLAlchemy is asked for the text of the tables and nothing else.
"""

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from kernel.faults import Unavailable
from services.ledger.adapters.schema import EVENTS, METADATA, POSITION, TILES
from services.ledger.adapters.sqlite.tables import Projections, create_indexes, create_table, insert
from services.ledger.domain import tree
from services.ledger.domain.entry import Entry, Message, entry_of
from services.ledger.domain.facts import Fact, Told
from services.ledger.domain.faults import LedgerDiverged, WriterFenced
from services.ledger.domain.position import Position
from services.ledger.domain.tree import HASH_BYTES, TILE_WIDTH, Frontier

ReadFact = Callable[[Entry], Fact | None]
"""What the ledger understands of an event; None for what it does not, or cannot read. Never raises."""

_LIVE = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA cache_size=-32768",
    "PRAGMA wal_autocheckpoint=8192",
    "PRAGMA journal_size_limit=67108864",
)
_DRAFT = (
    "PRAGMA journal_mode=OFF",
    "PRAGMA synchronous=OFF",
    "PRAGMA cache_size=-65536",
    "PRAGMA locking_mode=EXCLUSIVE",
)
_APPEND_ONLY = (
    "CREATE TRIGGER {0}_no_{1} BEFORE {1} ON {0}{2} BEGIN SELECT RAISE(ABORT, '{0} is append-only'); END"
)
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_INSERT_EVENT = insert(EVENTS, "main")
_INSERT_TILE = insert(TILES, "main")


class Writer:
    """Appends to the database in `path`, which it makes if it is not there.

    A `draft` is filled quickly and unsafely, without indexes until `finish`. Every method may raise Unavailable (no
    room, or the database does not answer; nothing was changed) and LedgerDiverged (it is damaged).
    """

    def __init__(self, path: Path, read_fact: ReadFact, *, draft: bool = False) -> None:
        self._path = path
        self._read_fact = read_fact
        self._draft = draft
        self._position = Position()
        self._frontier = Frontier()
        self._stale = False
        try:
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10.0)
            self._projections = Projections(self._db, "main")
            self._prepare()
            self._recover()
        except sqlite3.Error as problem:
            explain(problem, path)

    @property
    def position(self) -> Position:
        return self._position

    def append(self, messages: Sequence[Message]) -> Position:
        """As `ports.Book.append`."""
        try:
            if self._stale:
                self._recover()
            return self._append([each for each in messages if each.sequence > self._position.last])
        except sqlite3.Error as problem:
            self._give_up()
            explain(problem, self._path)
        except BaseException:
            self._give_up()
            raise

    def execute(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Run one statement and answer its rows."""
        try:
            return self._db.execute(statement, values).fetchall()
        except sqlite3.Error as problem:
            explain(problem, self._path)

    def finish(self) -> None:
        """Make the indexes, and let the database check itself."""
        for statement in create_indexes():
            self.execute(statement)
        found = self.execute("PRAGMA quick_check")
        if found != [("ok",)]:
            raise LedgerDiverged(f"the database {self._path.name} is damaged: {found[0][0]}")

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
            self._db.execute("COMMIT")
        except BaseException:
            self._give_up()
            raise

    def _create(self) -> None:
        for table in METADATA.sorted_tables:
            self._db.execute(create_table(table, "main"))
        for name in ("events", "tiles", "heads"):
            for verb in ("UPDATE", "DELETE"):
                self._db.execute(_APPEND_ONLY.format(name, verb, ""))
        for name, key in (
            ("events", "sequence = NEW.sequence"),
            ("tiles", "level = NEW.level AND idx = NEW.idx"),
        ):
            # INSERT OR REPLACE would delete without firing the trigger above.
            again = f" WHEN EXISTS (SELECT 1 FROM {name} WHERE {key})"  # noqa: S608 - names are ours
            self._db.execute(_APPEND_ONLY.format(name, "INSERT", again))
        if not self._draft:
            for statement in create_indexes():
                self._db.execute(statement)
        self._db.execute("INSERT INTO position VALUES (1, 0, 0, ?)", (tree.EMPTY_ROOT,))

    def _recover(self) -> None:
        """Position and frontier, from what is stored."""
        first, last, root = self._db.execute("SELECT first_seq, last_seq, root FROM position").fetchone()
        position = Position(first, last, root)
        levels, count, level = [], position.size, 0
        while count:
            full, pending = divmod(count, TILE_WIDTH)
            if level == 0:
                query = "SELECT leaf_hash FROM events WHERE sequence >= ? AND sequence <= ? ORDER BY sequence"
                found = self._db.execute(query, (first + full * TILE_WIDTH, last))
            else:
                query = "SELECT root FROM tiles WHERE level = ? AND idx >= ? ORDER BY idx"
                found = self._db.execute(query, (level - 1, full * TILE_WIDTH))
            hashes = b"".join(each for (each,) in found)
            if len(hashes) != pending * HASH_BYTES:
                raise LedgerDiverged(
                    f"tree level {level} of {self._path.name} does not fit its position {last}"
                )
            levels.append(hashes)
            count, level = full, level + 1
        frontier = Frontier(position.size, tuple(levels))
        if tree.root_of(frontier) != root:
            raise LedgerDiverged(f"the tree in {self._path.name} has another root than its position says")
        self._position, self._frontier, self._stale = position, frontier, False

    def _append(self, messages: Sequence[Message]) -> Position:
        old = self._position
        if not messages:
            return old
        begin = old.last + 1 if old.first else messages[0].sequence
        if [each.sequence for each in messages] != list(range(begin, begin + len(messages))):
            raise LedgerDiverged(
                f"the log has a gap: {begin} was to come, {messages[0].sequence} came", begin
            )
        entries = [entry_of(each) for each in messages]
        frontier, tiles = tree.grow(self._frontier, [each.leaf_hash for each in entries])
        new = Position(old.first or begin, messages[-1].sequence, tree.root_of(frontier))
        told = [
            Told(each.tenant, each.sequence, each.event_id, fact)
            for each in entries
            if (fact := self._read_fact(each)) is not None
        ]
        run, run_many = self._db.execute, self._db.executemany
        run("BEGIN IMMEDIATE")
        # Whoever moves the position from where it was is the writer; the other one finds nothing to move.
        moved = run(
            "UPDATE position SET first_seq = ?, last_seq = ?, root = ? WHERE last_seq = ?",
            (new.first, new.last, new.root, old.last),
        )
        if moved.rowcount != 1:
            raise WriterFenced(old.last)
        run_many(_INSERT_EVENT, entries)
        run_many(_INSERT_TILE, [(each.level, each.index, each.hashes, each.root) for each in tiles])
        if told:
            self._projections.tell(told)
        run("COMMIT")
        self._position, self._frontier = new, frontier
        return new

    def _give_up(self) -> None:
        """Nothing of the open transaction is kept, and what is known is read again before the next one."""
        self._stale = True
        if self._db.in_transaction:
            try:
                self._db.execute("ROLLBACK")
            except sqlite3.Error:
                pass  # it was rolled back by what went wrong


def explain(problem: sqlite3.Error, path: Path) -> NoReturn:
    """Raise what a database error means to the ledger."""
    code = getattr(problem, "sqlite_errorcode", 0) & 0xFF
    if code in _DAMAGED:
        raise LedgerDiverged(
            f"the database {path.name} is damaged ({problem}); move it away and it is rebuilt from the event log"
        ) from problem
    if isinstance(problem, sqlite3.OperationalError):
        raise Unavailable(
            "STORE_UNREACHABLE", f"the ledger's database cannot be used: {problem}", database=path.name
        ) from problem
    raise problem
