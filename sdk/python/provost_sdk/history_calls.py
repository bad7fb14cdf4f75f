"""What the client asks of what happened: events and what they add up to, why something happened, a run again, a watch.

A page may hold fewer rows than asked for, even none, and still have a next token: `gather` goes on until there are
enough.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from google.protobuf.timestamp_pb2 import Timestamp

from provost.ledger.v1 import ledger_pb2
from provost_sdk.transport import Connection

if TYPE_CHECKING:
    from provost.ledger.v1.ledger_pb2_grpc import LedgerServiceAsyncStub

MAX_PAGE_SIZE = 500


class HistoryCalls(Connection):
    """The part of the client that asks what happened. Everything is of the key's own tenant."""

    _ledger: "LedgerServiceAsyncStub"

    async def list_events(
        self,
        events: ledger_pb2.EventFilter | None = None,
        *,
        oldest_first: bool = False,
        page_size: int = 0,
        page_token: str = "",
    ) -> ledger_pb2.ListEventsResponse:
        """Events, newest first unless told otherwise."""
        request = ledger_pb2.ListEventsRequest(
            page_size=page_size, page_token=page_token, filter=events, oldest_first=oldest_first
        )
        return await self._call(self._ledger.ListEvents, request)

    async def get_event(self, event_id: str) -> ledger_pb2.LedgerEvent:
        """One event by its id. Reason EVENT_UNKNOWN: there is none."""
        answer = await self._call(self._ledger.GetEvent, ledger_pb2.GetEventRequest(event_id=event_id))
        return answer.event

    async def list_agent_actions(
        self,
        *,
        agent: str = "",
        task: str = "",
        run_id: str = "",
        action: str = "",
        decision: str = "",
        from_time: datetime | None = None,
        to_time: datetime | None = None,
        page_size: int = 0,
        page_token: str = "",
    ) -> ledger_pb2.ListAgentActionsResponse:
        """What agents did or tried, one row for each decision, newest first."""
        request = ledger_pb2.ListAgentActionsRequest(
            page_size=page_size,
            page_token=page_token,
            agent_id=agent,
            task_id=task,
            run_id=run_id,
            action=action,
            decision=decision,
            from_time=stamp(from_time),
            to_time=stamp(to_time),
        )
        return await self._call(self._ledger.ListAgentActions, request)

    async def list_agent_metrics(
        self, *, agent: str = "", page_size: int = 0, page_token: str = ""
    ) -> ledger_pb2.ListAgentMetricsResponse:
        """Each agent's record, by id."""
        request = ledger_pb2.ListAgentMetricsRequest(
            page_size=page_size, page_token=page_token, agent_id=agent
        )
        return await self._call(self._ledger.ListAgentMetrics, request)

    async def list_violations(
        self,
        *,
        agent: str = "",
        task: str = "",
        run_id: str = "",
        error_type: str = "",
        from_time: datetime | None = None,
        to_time: datetime | None = None,
        page_size: int = 0,
        page_token: str = "",
    ) -> ledger_pb2.ListViolationsResponse:
        """Breaches of procedure, newest first."""
        request = ledger_pb2.ListViolationsRequest(
            page_size=page_size,
            page_token=page_token,
            agent_id=agent,
            task_id=task,
            run_id=run_id,
            error_type=error_type,
            from_time=stamp(from_time),
            to_time=stamp(to_time),
        )
        return await self._call(self._ledger.ListViolations, request)

    async def list_promotions(
        self,
        *,
        agent: str = "",
        to_tier: str = "",
        from_time: datetime | None = None,
        to_time: datetime | None = None,
        page_size: int = 0,
        page_token: str = "",
    ) -> ledger_pb2.ListPromotionsResponse:
        """Changes of tier, newest first; an agent's first is its registration."""
        request = ledger_pb2.ListPromotionsRequest(
            page_size=page_size,
            page_token=page_token,
            agent_id=agent,
            to_tier=to_tier,
            from_time=stamp(from_time),
            to_time=stamp(to_time),
        )
        return await self._call(self._ledger.ListPromotions, request)

    async def list_approval_records(
        self,
        *,
        agent: str = "",
        task: str = "",
        run_id: str = "",
        action: str = "",
        state: str = "",
        from_time: datetime | None = None,
        to_time: datetime | None = None,
        page_size: int = 0,
        page_token: str = "",
    ) -> ledger_pb2.ListApprovalRecordsResponse:
        """What people were ever asked and what they answered, newest first; `state` as `USED`."""
        request = ledger_pb2.ListApprovalRecordsRequest(
            page_size=page_size,
            page_token=page_token,
            agent_id=agent,
            task_id=task,
            run_id=run_id,
            action=action,
            state=state,
            from_time=stamp(from_time),
            to_time=stamp(to_time),
        )
        return await self._call(self._ledger.ListApprovalRecords, request)

    async def trace_causes(
        self, event_id: str = "", *, effect_id: str = ""
    ) -> ledger_pb2.TraceCausesResponse:
        """Everything that led to an event or to an effect, oldest first. Reason EVENT_UNKNOWN: there is none."""
        request = ledger_pb2.TraceCausesRequest(event_id=event_id, effect_id=effect_id)
        return await self._call(self._ledger.TraceCauses, request)

    async def replay_run(
        self, run_id: str, *, page_size: int = 0, page_token: str = ""
    ) -> ledger_pb2.ReplayRunResponse:
        """A run from its events alone, step by step. Reason RUN_UNKNOWN: the ledger has no event of it."""
        request = ledger_pb2.ReplayRunRequest(run_id=run_id, page_size=page_size, page_token=page_token)
        return await self._call(self._ledger.ReplayRun, request)

    async def watch_events(
        self,
        events: ledger_pb2.EventFilter | None = None,
        *,
        cursor: str = "",
        from_start: bool = False,
    ) -> AsyncIterator[ledger_pb2.WatchEventsResponse]:
        """Events as they come, oldest first, from now on, from the first or behind a cursor; never ends by itself.

        Keep the cursor of the last answer: whatever ends the watch, it goes on there and misses nothing. Answers
        without events come every ten seconds; none for much longer means that nobody is there any more. Reason
        CURSOR_INVALID: it is the cursor of another filter.
        """
        request = ledger_pb2.WatchEventsRequest(filter=events, cursor=cursor, from_start=from_start)
        async for answer in self._answers(self._ledger.WatchEvents, request, None):
            yield answer


async def gather(page: Callable[[int, str], Awaitable[Any]], limit: int) -> list[Any]:
    """Up to `limit` rows of a list; `page` asks for so many rows behind a page token."""
    found: list[Any] = []
    token = ""
    while True:
        answer = await page(min(limit - len(found), MAX_PAGE_SIZE), token)
        found.extend(getattr(answer, answer.DESCRIPTOR.fields[0].name))
        token = answer.next_page_token
        if not token or len(found) >= limit:
            return found[:limit]


def stamp(at: datetime | None) -> Timestamp | None:
    """A time as the protos have it."""
    if at is None:
        return None
    made = Timestamp()
    made.FromDatetime(at)
    return made
