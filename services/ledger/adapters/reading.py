"""Questions about projections as SQL: one text for every database. Events are found by `searching`."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Select, Table, select, tuple_

from services.ledger.adapters.schema import ACTIONS, AGENTS, VIOLATIONS
from services.ledger.domain.projections import ActionRow, AgentRow, ViolationRow
from services.ledger.domain.questions import (
    ActionQuestion,
    AgentQuestion,
    Cursor,
    Listed,
    Page,
    ViolationQuestion,
)

R = TypeVar("R")
Query = Select[Any]


def actions(question: ActionQuestion, page: Page) -> Query:
    query = _where(ACTIONS, question, ("agent_id", "task_id", "run_id", "action", "decision"))
    order = (ACTIONS.c.sequence, ACTIONS.c.position)
    return _paged(_between(query, ACTIONS, question), order, page, descending=True)


def agents(question: AgentQuestion, page: Page) -> Query:
    return _paged(_where(AGENTS, question, ()), (AGENTS.c.agent_id,), page, descending=False)


def violations(question: ViolationQuestion, page: Page) -> Query:
    return _paged(
        _where(VIOLATIONS, question, ("agent_id",)), (VIOLATIONS.c.sequence,), page, descending=True
    )


def listed_actions(rows: Iterable[Any], page: Page) -> Listed[ActionRow]:
    return _listed((ActionRow(*row) for row in rows), page, lambda row: (row.sequence, row.position))


def listed_agents(rows: Iterable[Any], page: Page) -> Listed[AgentRow]:
    return _listed((AgentRow(*row) for row in rows), page, lambda row: (row.agent_id,))


def listed_violations(rows: Iterable[Any], page: Page) -> Listed[ViolationRow]:
    return _listed((ViolationRow(*row) for row in rows), page, lambda row: (row.sequence,))


def _where(table: Table, question: Any, names: Iterable[str]) -> Query:
    query = select(table).where(table.c.tenant == question.tenant)
    for name in names:
        value = getattr(question, name)
        if value:
            query = query.where(table.c[name] == value)
    return query


def _between(query: Query, table: Table, question: ActionQuestion) -> Query:
    if question.from_us is not None:
        query = query.where(table.c.at_us >= question.from_us)
    if question.to_us is not None:
        query = query.where(table.c.at_us < question.to_us)
    return query


def _paged(query: Query, order: tuple["ColumnElement[Any]", ...], page: Page, *, descending: bool) -> Query:
    if page.after is not None:
        place = order[0] if len(order) == 1 else tuple_(*order)
        after: Any = page.after[0] if len(order) == 1 else page.after
        query = query.where(place < after if descending else place > after)
    query = query.order_by(*(each.desc() if descending else each.asc() for each in order))
    return query.limit(page.size + 1)


def _listed(rows: Iterable[R], page: Page, cursor: Callable[[R], Cursor]) -> Listed[R]:
    kept: list[R] = []
    for row in rows:
        if kept and len(kept) == page.size:
            return Listed(tuple(kept), cursor(kept[-1]))
        kept.append(row)
    return Listed(tuple(kept), None)
