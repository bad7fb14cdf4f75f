"""The ledger's tables: one definition for every database. What a row means stands with its class in the domain.

`events` holds what the log brought and nothing that can be read out of it: `domain.entry.read_row` makes an `Entry` of
a row. Events are found in four ways, each bounded whatever is asked:

* by sequence: the primary key;
* by id: `event_ids`, in parts by sequence (`domain.terms.part_of`), whose key is `domain.terms.id_key`. Two ids may
  share a key: compare the entry's own;
* by tenant, context, aggregate, aggregate id, type, correlation, actor, agent, run or task, alone and together:
  `postings`, one row for each term and block of 256 leaves (`domain.terms`), to be intersected block by block. A block
  is leaf index // 256, where the leaf index is sequence - position.first_seq. Only full blocks are there: the leaves
  behind the last one, at most 255, are looked through;
* by time: `spans`, the least and greatest `at_us` of each full block. Clocks are not monotonic, so a block whose span
  overlaps is a candidate, and each entry of it is checked.

`adapters.searching` asks all that of any of these databases.
"""

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

from services.ledger.domain.rows import (
    ActionRow,
    AgentRow,
    ApprovalRow,
    EffectRow,
    PromotionRow,
    RunRow,
    ViolationRow,
)

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
    _text("subject"),
    Column("header", LargeBinary, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    sqlite_strict=True,
)
EVENT_IDS = Table(
    "event_ids",
    METADATA,
    Column("part", _NUMBER, primary_key=True, autoincrement=False),
    Column("key", _NUMBER, primary_key=True, autoincrement=False),
    Column("sequence", _NUMBER, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
    sqlite_strict=True,
)
POSTINGS = Table(
    "postings",
    METADATA,
    Column("term", _NUMBER, primary_key=True, autoincrement=False),
    Column("block", _NUMBER, primary_key=True, autoincrement=False),
    Column("members", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
    sqlite_strict=True,
)
SPANS = Table(
    "spans",
    METADATA,
    Column("block", _NUMBER, primary_key=True, autoincrement=False),
    _number("from_us", nullable=True),
    _number("to_us", nullable=True),
    sqlite_strict=True,
)
TILES = Table(
    "tiles",
    METADATA,
    Column("level", Integer, primary_key=True, autoincrement=False),
    Column("idx", _NUMBER, primary_key=True, autoincrement=False),
    Column("hashes", LargeBinary, nullable=False),
    Column("root", LargeBinary, nullable=False),
    sqlite_strict=True,
)
HEADS = Table(
    "heads",
    METADATA,
    Column("size", _NUMBER, primary_key=True, autoincrement=False),
    Column("root", LargeBinary, nullable=False),
    _text("note"),
    _number("at_us"),
    sqlite_strict=True,
)
POSITION = Table(
    "position",
    METADATA,
    Column("id", Integer, CheckConstraint("id = 1"), primary_key=True, autoincrement=False),
    _number("first_seq"),
    _number("last_seq"),
    Column("root", LargeBinary, nullable=False),
    sqlite_strict=True,
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
    "effects",
    METADATA,
    _key("tenant"),
    _key("effect_id"),
    _number("sequence"),
    _text("decision_id"),
    sqlite_with_rowid=False,
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

PROMOTIONS = Table(
    "promotions",
    METADATA,
    _key("tenant"),
    _key("event_id"),
    _number("sequence"),
    _number("at_us"),
    _text("agent_id"),
    _text("from_tier"),
    _text("to_tier"),
    _text("reason"),
    _text("by"),
    sqlite_with_rowid=False,
)
APPROVALS = Table(
    "approvals",
    METADATA,
    _key("tenant"),
    _key("approval_id"),
    _number("sequence"),
    _number("at_us"),
    _number("expire_us"),
    _text("agent_id"),
    _text("run_id"),
    _text("task_id"),
    _text("action"),
    _text("target"),
    _text("action_digest"),
    _text("requested_by"),
    _text("why"),
    _text("state"),
    _text("answered_by"),
    _text("comment"),
    _number("answered_us", nullable=True),
    _number("answered_sequence", nullable=True),
    _text("decision_id"),
    _number("used_us", nullable=True),
    _number("used_sequence", nullable=True),
    sqlite_with_rowid=False,
)

PROJECTIONS: dict[type, Table] = {
    ActionRow: ACTIONS,
    EffectRow: EFFECTS,
    RunRow: RUNS,
    AgentRow: AGENTS,
    ViolationRow: VIOLATIONS,
    PromotionRow: PROMOTIONS,
    ApprovalRow: APPROVALS,
}

VERSION = 5
"""Changes with any of these tables, or with what is read out of events: a database of another version is built anew."""

# Not part of the tables, so that a rebuild can make them last.
INDEXES = tuple(
    Index(f"{table.name}_by_{name}", *(table.c[each] for each in columns), _table=table)
    for table, name, columns in (
        # Every filter of `adapters.listing` has one: the rarest drives.
        (ACTIONS, "sequence", ("tenant", "sequence", "position")),
        (ACTIONS, "agent", ("tenant", "agent_id", "sequence", "position")),
        (ACTIONS, "run", ("tenant", "run_id", "sequence", "position")),
        (ACTIONS, "task", ("tenant", "task_id", "sequence", "position")),
        (ACTIONS, "action", ("tenant", "action", "sequence", "position")),
        (ACTIONS, "decision", ("tenant", "decision", "sequence", "position")),
        (VIOLATIONS, "sequence", ("tenant", "sequence")),
        (VIOLATIONS, "agent", ("tenant", "agent_id", "sequence")),
        (VIOLATIONS, "run", ("tenant", "run_id", "sequence")),
        (VIOLATIONS, "task", ("tenant", "task_id", "sequence")),
        (VIOLATIONS, "error", ("tenant", "error_type", "sequence")),
        (PROMOTIONS, "sequence", ("tenant", "sequence")),
        (PROMOTIONS, "agent", ("tenant", "agent_id", "sequence")),
        (PROMOTIONS, "tier", ("tenant", "to_tier", "sequence")),
        (APPROVALS, "sequence", ("tenant", "sequence")),
        (APPROVALS, "agent", ("tenant", "agent_id", "sequence")),
        (APPROVALS, "run", ("tenant", "run_id", "sequence")),
        (APPROVALS, "task", ("tenant", "task_id", "sequence")),
        (APPROVALS, "action", ("tenant", "action", "sequence")),
        (APPROVALS, "state", ("tenant", "state", "sequence")),
    )
)
