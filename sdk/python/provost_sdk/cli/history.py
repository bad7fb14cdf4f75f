"""`provost ledger events|actions|metrics|violations|promotions|approvals`: what happened, in tables."""

from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from provost_sdk.cli.filters import (
    Action,
    Actor,
    Agent,
    Aggregate,
    AggregateId,
    Context,
    Correlation,
    Decision,
    EventType,
    RunId,
    Since,
    Task,
    Until,
    clock,
    time_in,
    times_in,
)
from provost_sdk.cli.pages import Limit, rows, show
from provost_sdk.cli.session import Address, AsJson, Key

if TYPE_CHECKING:
    from provost.ledger.v1 import ledger_pb2
    from provost_sdk.client import Provost


def events(
    event_type: EventType = "",
    agent: Agent = "",
    run: RunId = "",
    task: Task = "",
    action: Action = "",
    decision: Decision = "",
    actor: Actor = "",
    context: Context = "",
    aggregate: Aggregate = "",
    aggregate_id: AggregateId = "",
    correlation: Correlation = "",
    since: Since = "",
    until: Until = "",
    oldest_first: Annotated[bool, typer.Option("--oldest-first", help="Begin with the first.")] = False,
    limit: Limit = 30,
    as_json: AsJson = False,
    address: Address = None,
    key: Key = None,
) -> None:
    """Events, newest first."""
    from provost.ledger.v1 import ledger_pb2
    from provost_sdk.history_calls import stamp

    wanted = ledger_pb2.EventFilter(
        event_type=event_type,
        agent_id=agent,
        run_id=run,
        task_id=task,
        action=action,
        decision=decision,
        actor=actor,
        context=context,
        aggregate=aggregate,
        aggregate_id=aggregate_id,
        correlation_id=correlation,
        from_time=stamp(time_in(since, "--since")),
        to_time=stamp(time_in(until, "--until")),
    )

    def page(provost: "Provost", size: int, token: str) -> Awaitable[Any]:
        return provost.list_events(wanted, oldest_first=oldest_first, page_size=size, page_token=token)

    found = rows(page, limit, address, key)
    columns = ("seq", "at", "event", "of", "by", "id")
    show(found, as_json, columns, _event, "No such events.")


def actions(
    agent: Agent = "",
    run: RunId = "",
    task: Task = "",
    action: Action = "",
    decision: Decision = "",
    since: Since = "",
    until: Until = "",
    limit: Limit = 30,
    as_json: AsJson = False,
    address: Address = None,
    key: Key = None,
) -> None:
    """What agents did or tried, one row for each decision, newest first."""
    times = times_in(since, until)

    def page(provost: "Provost", size: int, token: str) -> Awaitable[Any]:
        return provost.list_agent_actions(
            agent=agent,
            run_id=run,
            task=task,
            action=action,
            decision=decision,
            page_size=size,
            page_token=token,
            **times,
        )

    def row(each: "ledger_pb2.AgentAction") -> Sequence[object]:
        came_of_it = ("yes" if each.success else "no") if each.HasField("success") else ""
        return (
            each.sequence,
            clock(each.at),
            each.agent_id,
            each.tier,
            each.action,
            each.target,
            each.decision,
            f"{each.rule} ({each.reason})",
            came_of_it,
            each.error_type,
            each.run_id,
        )

    columns = (
        "seq",
        "at",
        "agent",
        "tier",
        "action",
        "target",
        "decision",
        "rule",
        "success",
        "error",
        "run",
    )
    show(rows(page, limit, address, key), as_json, columns, row, "No such actions.")


def metrics(
    agent: Agent = "", limit: Limit = 100, as_json: AsJson = False, address: Address = None, key: Key = None
) -> None:
    """Each agent's record: its tier, its runs, and how many kept to the rules."""

    def page(provost: "Provost", size: int, token: str) -> Awaitable[Any]:
        return provost.list_agent_metrics(agent=agent, page_size=size, page_token=token)

    def row(each: "ledger_pb2.AgentMetrics") -> Sequence[object]:
        return (
            each.agent_id,
            each.current_tier,
            each.total_runs,
            each.compliant_runs,
            each.consecutive_compliant,
            clock(each.last_active_at) if each.HasField("last_active_at") else "",
            "revoked" if each.revoked else "",
        )

    columns = ("agent", "tier", "runs", "compliant", "in a row", "last active", "")
    show(rows(page, limit, address, key), as_json, columns, row, "No such agents.")


def violations(
    agent: Agent = "",
    run: RunId = "",
    task: Task = "",
    error_type: Annotated[str, typer.Option("--error", help="Only these, as FORBIDDEN_BY_PACKET.")] = "",
    since: Since = "",
    until: Until = "",
    limit: Limit = 30,
    as_json: AsJson = False,
    address: Address = None,
    key: Key = None,
) -> None:
    """Breaches of procedure, newest first."""
    times = times_in(since, until)

    def page(provost: "Provost", size: int, token: str) -> Awaitable[Any]:
        return provost.list_violations(
            agent=agent,
            run_id=run,
            task=task,
            error_type=error_type,
            page_size=size,
            page_token=token,
            **times,
        )

    def row(each: "ledger_pb2.Violation") -> Sequence[object]:
        return (each.sequence, clock(each.at), each.agent_id, each.error_type, each.message, each.run_id)

    columns = ("seq", "at", "agent", "error", "what", "run")
    show(rows(page, limit, address, key), as_json, columns, row, "No violations.")


def promotions(
    agent: Agent = "",
    tier: Annotated[str, typer.Option("--tier", help="Only to this tier, as T1_OPERATOR.")] = "",
    since: Since = "",
    until: Until = "",
    limit: Limit = 30,
    as_json: AsJson = False,
    address: Address = None,
    key: Key = None,
) -> None:
    """Changes of agents' tiers and why, newest first; an agent's first is its registration."""
    times = times_in(since, until)

    def page(provost: "Provost", size: int, token: str) -> Awaitable[Any]:
        return provost.list_promotions(agent=agent, to_tier=tier, page_size=size, page_token=token, **times)

    def row(each: "ledger_pb2.Promotion") -> Sequence[object]:
        return (
            each.sequence,
            clock(each.at),
            each.agent_id,
            each.from_tier or "-",
            each.to_tier,
            each.reason,
            each.by,
        )

    columns = ("seq", "at", "agent", "from", "to", "why", "by")
    show(rows(page, limit, address, key), as_json, columns, row, "No changes of tier.")


def approvals(
    agent: Agent = "",
    run: RunId = "",
    task: Task = "",
    action: Action = "",
    state: Annotated[
        str,
        typer.Option("--state", help="Only PENDING, APPROVED, REJECTED, CHANGES_REQUESTED, USED or EXPIRED."),
    ] = "",
    since: Since = "",
    until: Until = "",
    limit: Limit = 30,
    as_json: AsJson = False,
    address: Address = None,
    key: Key = None,
) -> None:
    """What people were ever asked and what they answered, newest first."""
    times = times_in(since, until)

    def page(provost: "Provost", size: int, token: str) -> Awaitable[Any]:
        return provost.list_approval_records(
            agent=agent,
            run_id=run,
            task=task,
            action=action,
            state=state,
            page_size=size,
            page_token=token,
            **times,
        )

    def row(each: "ledger_pb2.ApprovalRecord") -> Sequence[object]:
        return (
            each.approval_id,
            clock(each.requested_at),
            each.state,
            each.action,
            each.target,
            each.agent_id,
            each.requested_by,
            each.answered_by,
            each.comment,
            each.run_id,
        )

    columns = (
        "approval",
        "asked at",
        "state",
        "action",
        "target",
        "agent",
        "for",
        "answered by",
        "said",
        "run",
    )
    show(rows(page, limit, address, key), as_json, columns, row, "No such approvals.")


def _event(each: "ledger_pb2.LedgerEvent") -> Sequence[object]:
    of = ".".join(each.subject.split(".")[2:5])
    return (each.sequence, clock(each.at), each.event_type, of, each.actor, each.event_id)
