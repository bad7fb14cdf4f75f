"""What the events add up to: violations, changes of tier, approvals; why something happened; a run again; a watch."""

from typing import Annotated, Literal

from fastapi import Header, HTTPException, Query, Request

from kernel.faults import Invalid
from services.gateway.domain.history import (
    ApprovalRecord,
    ApprovalRecordFilter,
    Chain,
    Promotion,
    PromotionFilter,
    Step,
    Violation,
    ViolationFilter,
    WatchFrom,
)
from services.gateway.domain.records import Event, EventFilter, Listing, Page
from services.gateway.web import streams
from services.gateway.web.auth import Doors, Who
from services.gateway.web.routes.runs import PageSize, PageToken
from services.gateway.web.routes.values import Time, Word

RecordState = Literal["", "PENDING", "APPROVED", "REJECTED", "CHANGES_REQUESTED", "USED", "EXPIRED"]
Cursor = Annotated[str, Query(max_length=1000, description="go on behind the id of the last event seen")]


async def list_violations(
    gateway: Doors,
    caller: Who,
    from_time: Time = None,
    to_time: Time = None,
    agent_id: Word = "",
    task_id: Word = "",
    run_id: Word = "",
    error_type: Word = "",
    page_size: PageSize = 0,
    page_token: PageToken = "",
) -> Listing[Violation]:
    """Breaches of procedure, newest first."""
    wanted = ViolationFilter(from_time, to_time, agent_id, task_id, run_id, error_type)
    return await gateway.ledger.violations(wanted, Page(page_size, page_token), caller)


async def list_promotions(
    gateway: Doors,
    caller: Who,
    from_time: Time = None,
    to_time: Time = None,
    agent_id: Word = "",
    to_tier: Word = "",
    page_size: PageSize = 0,
    page_token: PageToken = "",
) -> Listing[Promotion]:
    """Changes of agents' tiers, newest first; an agent's first is its registration."""
    wanted = PromotionFilter(from_time, to_time, agent_id, to_tier)
    return await gateway.ledger.promotions(wanted, Page(page_size, page_token), caller)


async def list_approval_records(
    gateway: Doors,
    caller: Who,
    from_time: Time = None,
    to_time: Time = None,
    agent_id: Word = "",
    task_id: Word = "",
    run_id: Word = "",
    action: Word = "",
    state: RecordState = "",
    page_size: PageSize = 0,
    page_token: PageToken = "",
) -> Listing[ApprovalRecord]:
    """What people were ever asked and what they answered, newest first; times are those of the request."""
    wanted = ApprovalRecordFilter(from_time, to_time, agent_id, task_id, run_id, action, state)
    return await gateway.ledger.approval_records(wanted, Page(page_size, page_token), caller)


async def get_event(gateway: Doors, caller: Who, event_id: str) -> Event:
    """One event by its id."""
    return await gateway.ledger.event(event_id, caller)


async def event_causes(gateway: Doors, caller: Who, event_id: str) -> Chain:
    """Everything that led to an event, oldest first, a line each."""
    return await gateway.ledger.causes(event_id, "", caller)


async def effect_causes(gateway: Doors, caller: Who, effect_id: str) -> Chain:
    """Everything that led to an effect, oldest first, a line each."""
    return await gateway.ledger.causes("", effect_id, caller)


async def replay_run(
    gateway: Doors, caller: Who, run_id: str, page_size: PageSize = 0, page_token: PageToken = ""
) -> Listing[Step]:
    """A run from its events alone, step by step, oldest first."""
    return await gateway.ledger.replay(run_id, Page(page_size, page_token), caller)


async def stream_events(
    request: Request,
    gateway: Doors,
    caller: Who,
    context: Word = "",
    aggregate: Word = "",
    aggregate_id: Word = "",
    event_type: Word = "",
    correlation_id: Word = "",
    actor: Word = "",
    agent_id: Word = "",
    run_id: Word = "",
    task_id: Word = "",
    action: Word = "",
    decision: Word = "",
    from_start: bool = False,
    cursor: Cursor = "",
    last_event_id: Annotated[str, Header(max_length=1000)] = "",
) -> streams.EventStream:
    """Events as they come, as server-sent events (`text/event-stream`), from now on, from the start or behind a cursor.

    The header `Last-Event-ID`, which browsers send by themselves when they come back, goes before `cursor`.
    """
    events = EventFilter(
        context=context,
        aggregate=aggregate,
        aggregate_id=aggregate_id,
        event_type=event_type,
        correlation_id=correlation_id,
        actor=actor,
        agent_id=agent_id,
        run_id=run_id,
        task_id=task_id,
        action=action,
        decision=decision,
    )
    open_streams: streams.Streams = request.app.state.streams
    open_streams.require_room(caller)
    behind, seen = streams.resumed(last_event_id or cursor)
    watched = gateway.ledger.watch(events, WatchFrom(behind, from_start), caller)
    # The first is awaited here, so that a cursor that is no good is answered as any other mistake.
    first = await anext(watched, None)
    if first is None:
        raise Invalid("CURSOR_INVALID", "the watch ended before it began; begin again", field="cursor")
    lines = open_streams.until_ended(streams.as_lines(first, watched, seen), caller)
    return streams.EventStream(lines)


async def watch_events() -> None:
    """The same over a WebSocket: connect with `ws://` or `wss://`, filters as above, `?after=` the last cursor seen.

    Each message is JSON: `{"event", "cursor"}`, `{"cursor"}` as a sign of life, `{"problem", "cursor"}` before it is
    closed with 4000 and the problem's status, or with 1012 when the gateway ends. Browsers show their key as the
    subprotocol `provost.key.<base64url>` beside `provost.events.v1`.
    """
    raise HTTPException(426, "this is a WebSocket: connect with ws:// or wss://", {"Upgrade": "websocket"})
