"""The audit of a SQLite book: one snapshot read once from end to end, projections recomputed into temporary tables.

Synchronous: its owner runs it on a reading thread.
"""

import sqlite3
from collections.abc import Sequence

from services.ledger.adapters.schema import PROJECTIONS
from services.ledger.adapters.sqlite.tables import Projections, create_table, differences
from services.ledger.adapters.sqlite.writer import ReadFact
from services.ledger.domain.audit import Audit, Finding
from services.ledger.domain.checkpoint import Checkpoint
from services.ledger.domain.entry import Entry
from services.ledger.domain.facts import Told
from services.ledger.domain.position import Position
from services.ledger.domain.tree import Tile
from services.ledger.ports import Audited

_AT_ONCE = 200  # payloads may be large


def audit(db: sqlite3.Connection, heads: Sequence[Checkpoint], read_fact: ReadFact) -> Audited:
    """Everything that does or does not hold in the database; `db` is used for this alone and then closed."""
    db.execute("PRAGMA temp_store=FILE")
    for table in PROJECTIONS.values():
        db.execute(create_table(table, "temp"))
    db.execute("BEGIN")
    position = Position(*db.execute("SELECT first_seq, last_seq, root FROM position").fetchone())
    kept = [Checkpoint("", *row) for row in db.execute("SELECT size, root FROM heads")]

    def stored_tile(level: int, index: int) -> Tile | None:
        row = db.execute("SELECT * FROM tiles WHERE level = ? AND idx = ?", (level, index)).fetchone()
        return None if row is None else Tile(*row)

    running = Audit(position, [*kept, *heads], stored_tile)
    projections = Projections(db, "temp")
    rows = db.execute("SELECT * FROM events ORDER BY sequence")
    while batch := rows.fetchmany(_AT_ONCE):
        entries = [Entry(*row) for row in batch]
        for entry in entries:
            running.take(entry)
        projections.tell(_told(entries, read_fact))
    (tiles,) = db.execute("SELECT count(*) FROM tiles").fetchone()
    return Audited(position, (*running.finish(tiles), _projections(db)))


def _told(entries: Sequence[Entry], read_fact: ReadFact) -> list[Told]:
    return [
        Told(each.tenant, each.sequence, each.event_id, fact)
        for each in entries
        if (fact := read_fact(each)) is not None
    ]


def _projections(db: sqlite3.Connection) -> Finding:
    for table, (tenant, id_), sequence in differences(db):
        detail = f"{table} row {id_} of tenant {tenant} is not what the events add up to"
        return Finding("projections", False, detail, sequence)
    names = ", ".join(table.name for table in PROJECTIONS.values())
    return Finding("projections", True, f"{names} recomputed from the events")
