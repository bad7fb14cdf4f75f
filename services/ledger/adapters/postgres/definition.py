"""What is in the database, as SQL: the book's tables in one schema, a draft's in another, and who may do what.

Two roles. The owner made everything and is needed again only for another version. The ledger's own role may read and
insert, move the position and fold projections, and no more; what a rebuild needs besides (tables of a draft, and that
they take the book's place) it asks of functions that run as the owner. Changing or removing rows is refused to both by
triggers.
"""

from hashlib import sha256

from sqlalchemy import Table
from sqlalchemy.dialects.postgresql import asyncpg
from sqlalchemy.schema import CreateIndex, CreateTable

from services.ledger.adapters import schema
from services.ledger.adapters.schema import (
    EVENT_IDS,
    HEADS,
    INDEXES,
    METADATA,
    POSITION,
    POSTINGS,
    PROJECTIONS,
)
from services.ledger.domain.heads import DAY_US, HOUR_US
from services.ledger.domain.tree import EMPTY_ROOT

LIVE, DRAFT = "provost_ledger", "provost_ledger_draft"
OLD, KEEPER = "provost_ledger_old", "provost_ledger_keeper"
DIALECT = asyncpg.dialect()  # type: ignore[no-untyped-call]
_CHANGING = {POSITION, *PROJECTIONS.values()}
# Their keys come in no order: one sort is quicker than a million searches.
_KEYED_LATE = (EVENT_IDS, POSTINGS)


def table_name(table: Table) -> str:
    """As it is written in a statement."""
    return str(DIALECT.identifier_preparer.format_table(table))


def id_column(table: Table) -> str:
    """The column that, with the tenant, is the key of a projection."""
    return list(table.primary_key)[1].name


def append_only() -> list[Table]:
    """The tables whose rows never change."""
    return [table for table in METADATA.sorted_tables if table not in _CHANGING]


def _tables() -> str:
    statements = [
        str(CreateTable(table).compile(dialect=DIALECT)).strip() for table in METADATA.sorted_tables
    ]
    statements += [
        f"ALTER TABLE {table_name(table)} DROP CONSTRAINT {table.name}_pkey" for table in _KEYED_LATE
    ]
    for table in append_only():
        verbs = "UPDATE OR TRUNCATE" if table is HEADS else "UPDATE OR DELETE OR TRUNCATE"
        statements += _triggers(
            table, "append_only", f"{verbs} ON {table_name(table)} FOR EACH STATEMENT", "refuse"
        )
    statements += _triggers(HEADS, "thinned", "DELETE ON heads FOR EACH ROW", "refuse_unless_thinned")
    place = table_name(POSITION)
    statements.append(f"INSERT INTO {place} VALUES (1, 0, 0, '\\x{EMPTY_ROOT.hex()}')")  # noqa: S608 - names are ours
    return ";\n".join(statements) + ";\n"


def _triggers(table: Table, name: str, on: str, function: str) -> list[str]:
    """A trigger that also fires for whoever has told the session to fire none."""
    return [
        f"CREATE TRIGGER {name} BEFORE {on} EXECUTE FUNCTION {KEEPER}.{function}()",
        f"ALTER TABLE {table_name(table)} ENABLE ALWAYS TRIGGER {name}",
    ]


def _rights(role: str) -> str:
    lines = [f"GRANT SELECT, INSERT ON {table_name(table)} TO {role}" for table in METADATA.sorted_tables]
    lines += [
        f"GRANT UPDATE ON {table_name(table)} TO {role}"
        for table in METADATA.sorted_tables
        if table in _CHANGING
    ]
    return ";\n".join(lines) + ";\n"


def _indexes() -> str:
    statements = []
    for table in _KEYED_LATE:
        key = ", ".join(column.name for column in table.primary_key)
        there = f"conrelid = '{table_name(table)}'::regclass AND contype = 'p'"
        statements.append(
            f"IF NOT EXISTS (SELECT FROM pg_catalog.pg_constraint WHERE {there}) THEN\n"
            f"  ALTER TABLE {table_name(table)} ADD PRIMARY KEY ({key});\nEND IF"
        )
    statements += [str(CreateIndex(index, if_not_exists=True).compile(dialect=DIALECT)) for index in INDEXES]
    statements += [f"ANALYZE {table_name(table)}" for table in METADATA.sorted_tables]
    return ";\n".join(statements) + ";\n"


def version() -> str:
    """Changes with whatever is in the database."""
    return f"{schema.VERSION}-{sha256(statements('x').encode()).hexdigest()[:12]}"


def statements(role: str, version: str = "") -> str:
    """Everything, to be run by the owner in one transaction. `role` is the ledger's own, quoted where it must be."""
    return f"""
CREATE SCHEMA {KEEPER};
CREATE FUNCTION {KEEPER}.version() RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT '{version}'::text $$;
CREATE FUNCTION {KEEPER}.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$;

-- A head may go when it is a day older than the newest one and the next one is of the same hour.
CREATE FUNCTION {KEEPER}.refuse_unless_thinned() RETURNS trigger LANGUAGE plpgsql AS $$
  DECLARE newest bigint; next bigint;
  BEGIN
    EXECUTE format('SELECT max(at_us) FROM %I.heads', TG_TABLE_SCHEMA) INTO newest;
    EXECUTE format('SELECT at_us FROM %I.heads WHERE size > $1 ORDER BY size LIMIT 1', TG_TABLE_SCHEMA)
      INTO next USING OLD.size;
    IF OLD.at_us >= newest - {DAY_US} OR OLD.at_us / {HOUR_US} IS DISTINCT FROM next / {HOUR_US} THEN
      RAISE EXCEPTION 'heads is append-only';
    END IF;
    RETURN OLD;
  END $$;

CREATE FUNCTION {KEEPER}.make_tables(place text) RETURNS void LANGUAGE plpgsql AS $make$
  BEGIN
    EXECUTE format('CREATE SCHEMA %I', place);
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO {role}', place);
    PERFORM set_config('search_path', format('%I, pg_temp', place), true);  -- pg_temp last: it is the caller's
{_tables()}
{_rights(role)}
  END $make$;

CREATE FUNCTION {KEEPER}.make_indexes(place text) RETURNS void LANGUAGE plpgsql AS $make$
  BEGIN
    PERFORM set_config('search_path', format('%I, pg_temp', place), true);  -- pg_temp last: it is the caller's
{_indexes()}
  END $make$;

-- An empty draft in the place of an earlier one, which may be kept if the ledger can go on with it.
CREATE FUNCTION {KEEPER}.make_draft(go_on boolean) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp AS $$
  BEGIN
    IF go_on AND to_regnamespace('{DRAFT}') IS NOT NULL THEN RETURN; END IF;
    PERFORM {KEEPER}.drop_draft();
    PERFORM {KEEPER}.make_tables('{DRAFT}');
  END $$;

CREATE FUNCTION {KEEPER}.finish_draft() RETURNS void LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp SET maintenance_work_mem = '128MB' AS $$
  BEGIN PERFORM {KEEPER}.make_indexes('{DRAFT}'); END $$;

-- One step, for which no reader waits. A transaction begins with moving the position: one that has done so is waited
-- for, and one that waits for this finds the draft's position under the name.
CREATE FUNCTION {KEEPER}.publish_draft() RETURNS void LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp AS $$
  DECLARE ours bigint; theirs bigint;
  BEGIN
    LOCK TABLE {LIVE}.position IN EXCLUSIVE MODE;
    SELECT last_seq INTO theirs FROM {DRAFT}.position;
    SELECT last_seq INTO ours FROM {LIVE}.position;
    IF theirs < ours THEN
      RAISE EXCEPTION 'the draft ends at %, the book at %', theirs, ours
        USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    IF EXISTS (SELECT size, root FROM {LIVE}.heads EXCEPT SELECT size, root FROM {DRAFT}.heads) THEN
      RAISE EXCEPTION 'the draft does not have every signed head'
        USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    ALTER SCHEMA {LIVE} RENAME TO {OLD};
    ALTER SCHEMA {DRAFT} RENAME TO {LIVE};
  END $$;

CREATE FUNCTION {KEEPER}.drop_draft() RETURNS void LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp SET client_min_messages = warning AS $$
  BEGIN DROP SCHEMA IF EXISTS {DRAFT} CASCADE; END $$;

CREATE FUNCTION {KEEPER}.drop_old() RETURNS void LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp SET client_min_messages = warning
  SET lock_timeout = '1s' AS $$
  BEGIN DROP SCHEMA IF EXISTS {OLD} CASCADE; END $$;

CREATE FUNCTION {KEEPER}.thin_heads(sizes bigint[]) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp AS $$
  BEGIN DELETE FROM {LIVE}.heads WHERE size = ANY (sizes); END $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA {KEEPER} FROM PUBLIC;
GRANT USAGE ON SCHEMA {KEEPER} TO {role};
GRANT EXECUTE ON FUNCTION {KEEPER}.version(), {KEEPER}.make_draft(boolean), {KEEPER}.finish_draft(),
  {KEEPER}.publish_draft(), {KEEPER}.drop_draft(), {KEEPER}.drop_old(), {KEEPER}.thin_heads(bigint[]) TO {role};
SELECT {KEEPER}.make_tables('{LIVE}');
SELECT {KEEPER}.make_indexes('{LIVE}');
"""  # noqa: S608 - names of ours, and a role that is quoted
