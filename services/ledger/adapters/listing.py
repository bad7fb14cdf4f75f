"""Rows of projections, page by page, whatever the combination of filters: one text for every database.

Of all that is asked for, the rarest from here on drives: its index gives the next rows, at most `WINDOW` of them, and
the other filters look through those. So a page costs the same however many rows there are. Times are narrowed down by
the spans of blocks of the log first. Searches are driven as those in `searching` are.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Table, func, literal, select, tuple_

from services.ledger.adapters.schema import (
    ACTIONS,
    AGENTS,
    APPROVALS,
    EFFECTS,
    POSITION,
    PROMOTIONS,
    SPANS,
    VIOLATIONS,
)
from services.ledger.adapters.searching import Query, Search
from services.ledger.domain.questions import (
    ActionQuestion,
    AgentQuestion,
    ApprovalQuestion,
    Cursor,
    Listed,
    Page,
    PromotionQuestion,
    ViolationQuestion,
)
from services.ledger.domain.rows import (
    MAY_EXPIRE,
    ActionRow,
    AgentRow,
    ApprovalRow,
    PromotionRow,
    ViolationRow,
)
from services.ledger.domain.terms import BLOCK

R = TypeVar("R")
Columns = Any
Checks = Callable[[Columns], Sequence[ColumnElement[bool]]]

WINDOW = 1000
"""How many rows of the driving index one page looks at."""
SLACK_US = 600_000_000
"""What is told bears a time of its own beside its event's: the same to some milliseconds, this much is allowed for."""


def actions(question: ActionQuestion, page: Page) -> Search[Listed[ActionRow]]:
    asked = {"agent_id", "task_id", "run_id", "action", "decision"}
    return (yield from _newest(ACTIONS, question, page, asked, ActionRow._make))


def violations(question: ViolationQuestion, page: Page) -> Search[Listed[ViolationRow]]:
    asked = {"agent_id", "task_id", "run_id", "error_type"}
    return (yield from _newest(VIOLATIONS, question, page, asked, ViolationRow._make))


def promotions(question: PromotionQuestion, page: Page) -> Search[Listed[PromotionRow]]:
    return (yield from _newest(PROMOTIONS, question, page, {"agent_id", "to_tier"}, PromotionRow._make))


def approvals(question: ApprovalQuestion, page: Page) -> Search[Listed[ApprovalRow]]:
    """As policy says it: with its agent's revocation, what may still expire has done so."""
    asked = {"agent_id", "task_id", "run_id", "action"}
    state, now_us = question.state, question.now_us

    def as_of_now(columns: Columns) -> list[ColumnElement[bool]]:
        over = (columns.expire_us <= now_us) | _revoked(columns).exists()
        if state == "EXPIRED":
            return [columns.state.in_(sorted(MAY_EXPIRE)), over]
        return [~over] if state in MAY_EXPIRE else []

    if state != "EXPIRED":
        asked.add("state")
    found = yield from _newest(APPROVALS, question, page, asked, ApprovalRow._make, as_of_now)
    open_of = {each.agent_id for each in found.rows if each.state in MAY_EXPIRE}
    if not open_of:
        return found
    mine = (AGENTS.c.tenant == question.tenant) & AGENTS.c.agent_id.in_(sorted(open_of))
    gone = {agent_id for (agent_id,) in (yield select(AGENTS.c.agent_id).where(mine, AGENTS.c.revoked))}
    rows = (_expired(each) if each.agent_id in gone else each for each in found.rows)
    return Listed(tuple(rows), found.end)


def _expired(row: ApprovalRow) -> ApprovalRow:
    return row._replace(state="EXPIRED") if row.state in MAY_EXPIRE else row


def _revoked(columns: Columns) -> Query:
    """The agent of a row, if it is revoked."""
    mine = (AGENTS.c.tenant == columns.tenant) & (AGENTS.c.agent_id == columns.agent_id)
    return select(AGENTS.c.agent_id).where(mine, AGENTS.c.revoked)


def agents(question: AgentQuestion, page: Page) -> Search[Listed[AgentRow]]:
    """By id: a tenant's agents are few."""
    query = select(AGENTS).where(AGENTS.c.tenant == question.tenant)
    if question.agent_id:
        query = query.where(AGENTS.c.agent_id == question.agent_id)
    if page.after is not None:
        query = query.where(AGENTS.c.agent_id > page.after[0])
    rows = yield query.order_by(AGENTS.c.agent_id).limit(page.size + 1)
    found = tuple(AgentRow(*row) for row in rows[: page.size])
    return Listed(found, (found[-1].agent_id,) if len(rows) > page.size else None)


def effect(tenant: str, effect_id: str) -> Search[int | None]:
    """The sequence of the event that says an effect was intended."""
    rows = yield select(EFFECTS.c.sequence).where(
        EFFECTS.c.tenant == tenant, EFFECTS.c.effect_id == effect_id
    )
    return int(rows[0][0]) if rows else None


def decision(tenant: str, decision_id: str) -> Search[int | None]:
    """The sequence of the event in which a decision was made."""
    mine = (ACTIONS.c.tenant == tenant) & (ACTIONS.c.decision_id == decision_id)
    rows = yield select(ACTIONS.c.sequence).where(mine)
    return int(rows[0][0]) if rows else None


def approval(tenant: str, approval_id: str) -> Search[ApprovalRow | None]:
    mine = (APPROVALS.c.tenant == tenant) & (APPROVALS.c.approval_id == approval_id)
    rows = yield select(APPROVALS).where(mine)
    return ApprovalRow(*rows[0]) if rows else None


def _newest(
    table: Table,
    question: Any,
    page: Page,
    asked: set[str],
    make: Callable[[Sequence[Any]], R],
    checks: Checks = lambda _: (),
) -> Search[Listed[R]]:
    order = tuple(name for name in ("sequence", "position") if name in table.c)
    names = sorted(name for name in asked if getattr(question, name))
    reach = [table.c.tenant == question.tenant]
    if question.from_us is not None or question.to_us is not None:
        reach.append((yield from _span(table, question)))
    if page.after is not None:
        reach.append(_before(table, order, page.after))
    driver, end = yield from _driver(table, question, order, reach, names)
    window = select(table).where(*reach, *_equal(table.c, question, [driver] if driver else []))
    # What the index gives is looked through from outside: the database must not choose another way in.
    seen = _sorted(window, table.c, order).limit(WINDOW).subquery()
    wanted = select(seen).where(
        *_equal(seen.c, question, [name for name in names if name != driver]),
        *_timely(seen.c, question),
        *checks(seen.c),
    )
    rows = yield _sorted(wanted, seen.c, order).limit(page.size + 1)
    found = tuple(make(tuple(row)) for row in rows[: page.size])
    if len(rows) > page.size:
        last = dict(zip(table.c.keys(), rows[page.size - 1], strict=True))
        end = tuple(last[name] for name in order)
    return Listed(found, end)


def _driver(
    table: Table,
    question: Any,
    order: Sequence[str],
    reach: Sequence["ColumnElement[bool]"],
    names: Sequence[str],
) -> Search[tuple[str, Cursor | None]]:
    """The filter whose next `WINDOW` rows reach furthest back, and where they end; None when they are all there are."""
    best: tuple[str, Cursor | None] = ("", None)
    for name in names or [""]:
        query = select(*(table.c[each] for each in order)).where(*reach)
        query = query.where(*_equal(table.c, question, [name] if name else []))
        rows = yield _sorted(query, table.c, order).offset(WINDOW - 1).limit(1)
        if not rows:
            return name, None
        end = tuple(rows[0])
        if best[1] is None or end < best[1]:
            best = (name, end)
    return best


def _span(table: Table, question: Any) -> Search["ColumnElement[bool]"]:
    """The sequences between which everything of the time that is asked for is."""
    ((first, last),) = yield select(POSITION.c.first_seq, POSITION.c.last_seq)
    full = (last - first + 1) // BLOCK if first else 0
    tail = first + full * BLOCK
    query = select(func.min(SPANS.c.block), func.max(SPANS.c.block))
    if question.from_us is not None:
        query = query.where(SPANS.c.to_us >= question.from_us - SLACK_US)
    if question.to_us is not None:
        query = query.where(SPANS.c.from_us < question.to_us + SLACK_US)
    ((earliest, latest),) = yield query
    # The block that is not full yet has no span: it is looked at.
    mine = (table.c.tenant == question.tenant) & (table.c.sequence >= tail)
    recent = yield select(table.c.sequence).where(mine, *_timely(table.c, question)).limit(1)
    begin = tail if earliest is None else first + earliest * BLOCK
    end = last if recent else tail - 1 if latest is None else first + (latest + 1) * BLOCK - 1
    return table.c.sequence.between(begin, end)


def _sorted(query: Query, columns: Columns, order: Sequence[str]) -> Query:
    return query.order_by(*(columns[name].desc() for name in order))


def _equal(columns: Columns, question: Any, names: Sequence[str]) -> list["ColumnElement[bool]"]:
    return [columns[name] == getattr(question, name) for name in names]


def _timely(columns: Columns, question: Any) -> list["ColumnElement[bool]"]:
    found: list[ColumnElement[bool]] = []
    if question.from_us is not None:
        found.append(columns.at_us >= question.from_us)
    if question.to_us is not None:
        found.append(columns.at_us < question.to_us)
    return found


def _before(table: Table, order: Sequence[str], after: Cursor) -> "ColumnElement[bool]":
    columns = [table.c[name] for name in order]
    return columns[0] < after[0] if len(after) == 1 else tuple_(*columns) < tuple_(*map(literal, after))
