"""Projections in PostgreSQL: the rows that facts are about fetched together, folded, and written back together."""

from collections.abc import Sequence
from typing import Any

from services.ledger.adapters.postgres import text
from services.ledger.adapters.postgres.connection import Connection
from services.ledger.adapters.postgres.definition import DIALECT, id_column, table_name
from services.ledger.adapters.schema import PROJECTIONS
from services.ledger.domain.facts import Told
from services.ledger.domain.projections import Changed, fold
from services.ledger.domain.rows import Key, Row

Known = dict[tuple[type[Row], Key], Row | None]


async def tell(connection: Connection, told: Sequence[Told]) -> None:
    """Fold facts into the rows, in the transaction that is open."""
    if not told:
        return
    changed = await _folded(connection, told)
    for kind, rows in changed.items():
        await connection.execute(_UPSERT[kind], *_columns(list(rows.values())))


async def _folded(connection: Connection, told: Sequence[Told]) -> Changed:
    """Fold as often as it takes to know what it asks for: mostly twice, since only effects lead on to other rows."""
    known: Known = {}
    while True:
        asked: dict[type[Row], list[Key]] = {}

        def lookup(kind: type[Row], key: Key, asked: dict[type[Row], list[Key]] = asked) -> Row | None:
            if (kind, key) not in known:
                known[kind, key] = None
                asked.setdefault(kind, []).append(key)
            return known[kind, key]

        changed = fold(told, lookup)
        if not asked:
            return changed
        for kind, keys in asked.items():
            for record in await connection.fetch(_SELECT[kind], *_columns(keys)):
                row = kind(*record)
                known[kind, (row[0], row[1])] = row


def _columns(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Rows as columns: arrays, which know nothing of how text is kept."""
    return [
        [text.stored(value) if isinstance(value, str) else value for value in column]
        for column in zip(*rows, strict=True)
    ]


def _upsert(kind: type[Row]) -> str:
    table = PROJECTIONS[kind]
    columns = list(table.columns)
    names = [DIALECT.identifier_preparer.format_column(column) for column in columns]
    given = ", ".join(f"${n}::{column.type.compile(DIALECT)}[]" for n, column in enumerate(columns, 1))
    kept = ", ".join(f"{name} = EXCLUDED.{name}" for name in names[2:])
    return (
        f"INSERT INTO {table_name(table)} SELECT * FROM unnest({given}) "  # noqa: S608 - names are ours
        f"ON CONFLICT (tenant, {id_column(table)}) DO UPDATE SET {kept}"
    )


def _select(kind: type[Row]) -> str:
    table = PROJECTIONS[kind]
    return (
        f"SELECT kept.* FROM unnest($1::text[], $2::text[]) AS asked (tenant, id) "  # noqa: S608 - names are ours
        f"JOIN {table_name(table)} AS kept ON kept.tenant = asked.tenant AND kept.{id_column(table)} = asked.id"
    )


_UPSERT = {kind: _upsert(kind) for kind in PROJECTIONS}
_SELECT = {kind: _select(kind) for kind in PROJECTIONS}
