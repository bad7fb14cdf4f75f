"""The audit of a SQLite book: one snapshot read once from end to end; projections and indexes recomputed into temporary
tables.

Synchronous: its owner runs it on a reading thread.
"""

import sqlite3
from collections.abc import Iterable, Sequence

from sqlalchemy import Table

from services.ledger.adapters.schema import EVENT_IDS, POSTINGS, PROJECTIONS, SPANS
from services.ledger.adapters.sqlite.tables import Projections, create_table, differences, insert, lacking
from services.ledger.domain.audit import Audit, Finding
from services.ledger.domain.checkpoint import Checkpoint
from services.ledger.domain.entry import Entry, Row, read_row
from services.ledger.domain.facts import Told
from services.ledger.domain.faults import LedgerDiverged
from services.ledger.domain.position import Position
from services.ledger.domain.terms import BLOCK, Block, Term, known_id, terms_of
from services.ledger.domain.tree import Tile
from services.ledger.domain.understood import Understand
from services.ledger.ports.book import Audited

_AT_ONCE = 200  # payloads may be large
_INDEXES = (EVENT_IDS, POSTINGS, SPANS)


def audit(db: sqlite3.Connection, heads: Sequence[Checkpoint], understand: Understand) -> Audited:
    """Everything that does or does not hold in the database; `db` is used for this alone and then closed.

    Raises:
        LedgerDiverged: it does not say how far it is.
    """
    db.execute("PRAGMA temp_store=FILE")
    for table in (*PROJECTIONS.values(), *_INDEXES):
        db.execute(create_table(table, "temp"))
    db.execute("BEGIN")
    found = db.execute("SELECT first_seq, last_seq, root FROM position").fetchone()
    if found is None:
        raise LedgerDiverged("the book does not say how far it is: its position was removed")
    position = Position(*found)
    kept = [Checkpoint("", *row) for row in db.execute("SELECT size, root FROM heads")]

    def stored_tile(level: int, index: int) -> Tile | None:
        row = db.execute("SELECT * FROM tiles WHERE level = ? AND idx = ?", (level, index)).fetchone()
        return None if row is None else Tile(*row)

    running = Audit(position, [*kept, *heads], stored_tile)
    projections = Projections(db, "temp")
    indexes = _Indexes(db)
    stored = db.execute("SELECT * FROM events ORDER BY sequence")
    while batch := stored.fetchmany(_AT_ONCE):
        told = []
        for row in map(Row._make, batch):
            running.take(row)
            entry = read_row(row)
            fact, links = understand(entry)
            indexes.take(entry, terms_of(entry, links))
            if fact is not None:
                told.append(Told(entry.tenant, entry.sequence, entry.event_id, fact, entry.actor))
        projections.tell(told)
        indexes.write()
    (tiles,) = db.execute("SELECT count(*) FROM tiles").fetchone()
    return Audited(position, (*running.finish(tiles), _projections(db), indexes.finding(position)))


class _Indexes:
    """What events are found by, recomputed beside what is stored."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._block = Block(0)
        self._made: dict[Table, list[tuple[object, ...]]] = {table: [] for table in _INDEXES}

    def take(self, entry: Entry, terms: Iterable[Term]) -> None:
        self._made[EVENT_IDS].append(known_id(entry.event_id, entry.sequence))
        self._block.add(terms, entry.at_us)
        if self._block.full:
            self._made[POSTINGS].extend(self._block.postings())
            self._made[SPANS].append(self._block.span())
            self._block = Block(self._block.number + 1)

    def write(self) -> None:
        for table, rows in self._made.items():
            self._db.executemany(insert(table, "temp"), rows)
            rows.clear()

    def finding(self, position: Position) -> Finding:
        for table, place in ((EVENT_IDS, "sequence"), (SPANS, "block"), (POSTINGS, "block")):
            at = lacking(self._db, table, place)
            if at is not None:
                sequence = at if place == "sequence" else position.first + at * BLOCK
                return Finding(
                    "indexes",
                    False,
                    f"{table.name} does not say what the events from {sequence} on are",
                    sequence,
                )
        return Finding("indexes", True, "ids, terms and times recomputed from the events")


def _projections(db: sqlite3.Connection) -> Finding:
    for table, (tenant, id_), sequence in differences(db):
        detail = f"{table} row {id_} of tenant {tenant} is not what the events add up to"
        return Finding("projections", False, detail, sequence)
    names = ", ".join(table.name for table in PROJECTIONS.values())
    return Finding("projections", True, f"{names} recomputed from the events")
