"""Projections in SQLite: rows looked up, facts folded into them, rows written back."""

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Table
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from services.ledger.adapters.schema import (
    EVENT_IDS,
    EVENTS,
    HEADS,
    INDEXES,
    POSTINGS,
    PROJECTIONS,
    SPANS,
    TILES,
)
from services.ledger.domain.facts import Told
from services.ledger.domain.heads import DAY_US, HOUR_US
from services.ledger.domain.projections import fold
from services.ledger.domain.rows import Key, Row

_DIALECT = sqlite.dialect()


def create_table(table: Table, schema: str) -> str:
    """The statement that makes `table` in a database of the connection (`main` or `temp`)."""
    text = str(CreateTable(table).compile(dialect=_DIALECT))
    return text.replace(f"CREATE TABLE {table.name}", f"CREATE TABLE {schema}.{table.name}")


def create_indexes() -> list[str]:
    """The statements that make every index."""
    return [str(CreateIndex(index, if_not_exists=True).compile(dialect=_DIALECT)) for index in INDEXES]


def append_only() -> list[str]:
    """The triggers that keep what was appended as it is; not in the way of whoever may drop them."""
    made = []
    for table in _APPENDED:
        refuse = _REFUSE.format(table.name)
        for verb in ("UPDATE", "DELETE"):
            when = _UNLESS_THINNED if (table, verb) == (HEADS, "DELETE") else ""
            made.append(
                f"CREATE TRIGGER IF NOT EXISTS {table.name}_no_{verb} BEFORE {verb} ON {table.name} {when} {refuse}"
            )
        if len(table.primary_key) == len(table.columns):
            continue  # what replaces a row is the same
        # INSERT OR REPLACE would delete without firing the trigger above.
        same = " AND ".join(f"{column.name} = NEW.{column.name}" for column in table.primary_key)
        again = f"WHEN EXISTS (SELECT 1 FROM {table.name} WHERE {same})"  # noqa: S608 - names are ours
        made.append(
            f"CREATE TRIGGER IF NOT EXISTS {table.name}_no_INSERT BEFORE INSERT ON {table.name} {again} {refuse}"
        )
    return made


_APPENDED = (EVENTS, EVENT_IDS, TILES, POSTINGS, SPANS, HEADS)
# A head may go when it is a day older than the newest one and the next one is of the same hour (`heads.thin`).
_UNLESS_THINNED = f"""WHEN OLD.at_us >= (SELECT max(at_us) FROM heads) - {DAY_US} OR OLD.at_us / {HOUR_US} IS NOT
(SELECT at_us / {HOUR_US} FROM heads WHERE size > OLD.size ORDER BY size LIMIT 1)"""  # noqa: S608 - numbers are ours
_REFUSE = "BEGIN SELECT RAISE(ABORT, '{0} is append-only'); END"


def insert(table: Table, schema: str, verb: str = "INSERT") -> str:
    """The statement that writes a whole row."""
    return f"{verb} INTO {schema}.{table.name} VALUES ({', '.join('?' * len(table.columns))})"


def insert_all(db: sqlite3.Connection, table: Table, values: tuple[Any, ...], into: str = "") -> None:
    """Write whole rows, given one after another, many with one statement: SQLite then works for longer stretches
    without the interpreter.

    `into` is another table with the same columns.
    """
    one, several = _INSERT[table], _INSERT_MANY[table]
    if into:
        one, several = (each.replace(f"main.{table.name}", f"main.{into}") for each in (one, several))
    width = len(table.columns)
    step = width * _AT_ONCE
    many = len(values) - len(values) % step
    for at in range(0, many, step):
        db.execute(several, values[at : at + step])
    for at in range(many, len(values), width):
        db.execute(one, values[at : at + width])


_AT_ONCE = 100
_INSERT = {table: insert(table, "main") for table in (EVENTS, EVENT_IDS, TILES, POSTINGS, SPANS)}
_INSERT_MANY = {
    table: statement + f", ({', '.join('?' * len(table.columns))})" * (_AT_ONCE - 1)
    for table, statement in _INSERT.items()
}


class Projections:
    """The projection tables in one database of a connection."""

    def __init__(self, db: sqlite3.Connection, schema: str) -> None:
        self._db = db
        self._upsert = {
            kind: insert(table, schema, "INSERT OR REPLACE") for kind, table in PROJECTIONS.items()
        }
        self._select = {
            kind: f"SELECT * FROM {schema}.{table.name} WHERE tenant = ? AND {_id(table)} = ?"  # noqa: S608 - names are ours
            for kind, table in PROJECTIONS.items()
        }

    def tell(self, told: Sequence[Told]) -> None:
        """Fold facts into the rows, in the transaction that is open."""
        for kind, rows in fold(told, self._lookup).items():
            self._db.executemany(self._upsert[kind], rows.values())

    def _lookup(self, kind: type[Row], key: Key) -> Row | None:
        row = self._db.execute(self._select[kind], key).fetchone()
        return None if row is None else kind(*row)


def differences(db: sqlite3.Connection) -> Iterator[tuple[str, Key, int]]:
    """Rows that `main` and `temp` do not both have: table, key, and sequence if the row has one. One for each table."""
    for table in PROJECTIONS.values():
        shown = f"tenant, {_id(table)}, {'sequence' if 'sequence' in table.c else 0}"
        for one, other in (("main", "temp"), ("temp", "main")):
            extra = f"SELECT * FROM {one}.{table.name} EXCEPT SELECT * FROM {other}.{table.name}"  # noqa: S608
            row = db.execute(f"SELECT {shown} FROM ({extra}) LIMIT 1").fetchone()  # noqa: S608
            if row is not None:
                yield table.name, (row[0], row[1]), row[2]
                break


def lacking(db: sqlite3.Connection, table: Table, place: str) -> int | None:
    """The least `place` of a row of `table` that `main` and `temp` do not both have."""
    found = []
    for one, other in (("main", "temp"), ("temp", "main")):
        extra = f"SELECT * FROM {one}.{table.name} EXCEPT SELECT * FROM {other}.{table.name}"  # noqa: S608
        found += db.execute(f"SELECT min({place}) FROM ({extra})").fetchone()  # noqa: S608
    return min((at for at in found if at is not None), default=None)


def _id(table: Table) -> str:
    return list(table.primary_key)[1].name
