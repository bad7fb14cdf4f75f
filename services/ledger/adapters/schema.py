"""The ledger's tables: one definition for every database. What a row means stands with its class in the domain."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
)

from services.ledger.domain.projections import ActionRow, AgentRow, EffectRow, RunRow, ViolationRow

# SQLite makes a column the row's own number only if it is called INTEGER.
_NUMBER = BigInteger().with_variant(Integer(), "sqlite")

METADATA = MetaData()


def _key(name: str) -> "Column[str]":
    return Column(name, Text, primary_key=True)


def _text(name: str) -> "Column[str]":
    return Column(name, Text, nullable=False)


def _number(name: str, *, nullable: bool = False) -> "Column[int]":
    return Column(name, _NUMBER, nullable=nullable)


EVENTS = Table(
    "events",
    METADATA,
    Column("sequence", _NUMBER, primary_key=True, autoincrement=False),
    Column("leaf_hash", LargeBinary, nullable=False),
    _text("tenant"),
    _text("context"),
    _text("aggregate"),
    _text("aggregate_id"),
    _text("event_type"),
    _text("event_id"),
    _text("correlation_id"),
    _text("causation_id"),
    _text("actor"),
    _number("at_us", nullable=True),
    _text("subject"),
    Column("header", LargeBinary, nullable=False),
    Column("payload", LargeBinary, nullable=False),
)
TILES = Table(
    "tiles",
    METADATA,
    Column("level", Integer, primary_key=True, autoincrement=False),
    Column("idx", _NUMBER, primary_key=True, autoincrement=False),
    Column("hashes", LargeBinary, nullable=False),
    Column("root", LargeBinary, nullable=False),
)
HEADS = Table(
    "heads",
    METADATA,
    Column("size", _NUMBER, primary_key=True, autoincrement=False),
    Column("root", LargeBinary, nullable=False),
    _text("note"),
    _number("at_us"),
)
POSITION = Table(
    "position",
    METADATA,
    Column("id", Integer, CheckConstraint("id = 1"), primary_key=True, autoincrement=False),
    _number("first_seq"),
    _number("last_seq"),
    Column("root", LargeBinary, nullable=False),
)
ACTIONS = Table(
    "agent_actions",
    METADATA,
    _key("tenant"),
    _key("decision_id"),
    _number("sequence"),
    _number("position"),
    _number("at_us"),
    _text("agent_id"),
    _text("agent_version"),
    _text("tier"),
    _text("action"),
    _text("target"),
    _text("decision"),
    Column("confidence", Float, nullable=False),
    Column("success", Boolean),
    _text("error_type"),
    _text("error_message"),
    _text("run_id"),
    _text("task_id"),
    _text("rule"),
    _text("reason"),
    _text("policy_version"),
    sqlite_with_rowid=False,
)
EFFECTS = Table(
    "effects", METADATA, _key("tenant"), _key("effect_id"), _text("decision_id"), sqlite_with_rowid=False
)
RUNS = Table(
    "runs",
    METADATA,
    _key("tenant"),
    _key("run_id"),
    Column("confidence", Float, nullable=False),
    Column("ended", Boolean, nullable=False),
    sqlite_with_rowid=False,
)
AGENTS = Table(
    "agent_metrics",
    METADATA,
    _key("tenant"),
    _key("agent_id"),
    _text("current_tier"),
    _number("total_runs"),
    _number("compliant_runs"),
    _number("consecutive_compliant"),
    _number("last_active_us", nullable=True),
    Column("revoked", Boolean, nullable=False),
    sqlite_with_rowid=False,
)
VIOLATIONS = Table(
    "violations",
    METADATA,
    _key("tenant"),
    _key("event_id"),
    _number("sequence"),
    _number("at_us"),
    _text("agent_id"),
    _text("run_id"),
    _text("task_id"),
    _text("error_type"),
    _text("message"),
    sqlite_with_rowid=False,
)

PROJECTIONS: dict[type, Table] = {
    ActionRow: ACTIONS,
    EffectRow: EFFECTS,
    RunRow: RUNS,
    AgentRow: AGENTS,
    ViolationRow: VIOLATIONS,
}

# Not part of the tables, so that a rebuild can make them last.
INDEXES = tuple(
    Index(f"{table.name}_by_{name}", *(table.c[each] for each in columns), _table=table)
    for table, name, columns in (
        (EVENTS, "tenant", ("tenant", "sequence")),
        (EVENTS, "id", ("event_id",)),
        (EVENTS, "correlation", ("tenant", "correlation_id", "sequence")),
        (EVENTS, "aggregate", ("tenant", "aggregate_id", "sequence")),
        (EVENTS, "type", ("tenant", "event_type", "sequence")),
        (EVENTS, "actor", ("tenant", "actor", "sequence")),
        (ACTIONS, "sequence", ("tenant", "sequence", "position")),
        (ACTIONS, "agent", ("tenant", "agent_id", "sequence", "position")),
        (ACTIONS, "run", ("tenant", "run_id", "sequence", "position")),
        (ACTIONS, "task", ("tenant", "task_id", "sequence", "position")),
        (VIOLATIONS, "sequence", ("tenant", "sequence")),
    )
)
