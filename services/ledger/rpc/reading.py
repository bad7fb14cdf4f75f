"""The questions an auditor asks: lists, causes, replays, watches. A caller sees the events of its own tenant."""

import asyncio
from contextlib import aclosing

from chassis import process
from chassis.rpc.cause import Context, admitted
from provost.ledger.v1 import ledger_pb2 as pb
from provost.ledger.v1.ledger_pb2_grpc import LedgerServiceServicer
from services.ledger.domain.entry import microseconds
from services.ledger.domain.faults import WatchTooSlow
from services.ledger.domain.questions import (
    AgentQuestion,
    ReplayQuestion,
    token_of,
    watch_cursor,
    watched_to,
)
from services.ledger.handlers import Ledger
from services.ledger.handlers.causes import Causes
from services.ledger.rpc.callers import READERS
from services.ledger.wire import events, projected, questions

READ_SECONDS = 60.0


class Reading(LedgerServiceServicer):
    """Shows what happened."""

    def __init__(self, ledger: Ledger, causes: Causes, *, read_seconds: float = READ_SECONDS) -> None:
        self._ledger = ledger
        self._causes = causes
        self._read_seconds = read_seconds

    async def ListEvents(self, request: pb.ListEventsRequest, context: Context) -> pb.ListEventsResponse:
        tenant = admitted(context, READERS).tenant
        question = questions.event_question(tenant, request.filter, oldest_first=request.oldest_first)
        found = await self._ledger.answers.events(question, request.page_size, request.page_token)
        return events.events_to_wire(question, found, self._ledger.position)

    async def GetEvent(self, request: pb.GetEventRequest, context: Context) -> pb.GetEventResponse:
        tenant = admitted(context, READERS).tenant
        entry = await self._ledger.answers.event(tenant, request.event_id)
        return pb.GetEventResponse(event=events.event_to_wire(entry, self._ledger.position))

    async def ListAgentActions(
        self, request: pb.ListAgentActionsRequest, context: Context
    ) -> pb.ListAgentActionsResponse:
        question = questions.action_question(admitted(context, READERS).tenant, request)
        found = await self._ledger.answers.actions(question, request.page_size, request.page_token)
        return pb.ListAgentActionsResponse(
            actions=map(projected.action_to_wire, found.rows), next_page_token=token_of(question, found.end)
        )

    async def ListAgentMetrics(
        self, request: pb.ListAgentMetricsRequest, context: Context
    ) -> pb.ListAgentMetricsResponse:
        question = AgentQuestion(admitted(context, READERS).tenant, request.agent_id)
        found = await self._ledger.answers.agents(question, request.page_size, request.page_token)
        return pb.ListAgentMetricsResponse(
            metrics=map(projected.agent_to_wire, found.rows), next_page_token=token_of(question, found.end)
        )

    async def ListViolations(
        self, request: pb.ListViolationsRequest, context: Context
    ) -> pb.ListViolationsResponse:
        question = questions.violation_question(admitted(context, READERS).tenant, request)
        found = await self._ledger.answers.violations(question, request.page_size, request.page_token)
        return pb.ListViolationsResponse(
            violations=map(projected.violation_to_wire, found.rows),
            next_page_token=token_of(question, found.end),
        )

    async def ListPromotions(
        self, request: pb.ListPromotionsRequest, context: Context
    ) -> pb.ListPromotionsResponse:
        question = questions.promotion_question(admitted(context, READERS).tenant, request)
        found = await self._ledger.answers.promotions(question, request.page_size, request.page_token)
        return pb.ListPromotionsResponse(
            promotions=map(projected.promotion_to_wire, found.rows),
            next_page_token=token_of(question, found.end),
        )

    async def ListApprovalRecords(
        self, request: pb.ListApprovalRecordsRequest, context: Context
    ) -> pb.ListApprovalRecordsResponse:
        now_us = microseconds(process.now())
        question = questions.approval_question(admitted(context, READERS).tenant, request, now_us)
        found = await self._ledger.answers.approvals(question, request.page_size, request.page_token)
        return pb.ListApprovalRecordsResponse(
            approvals=[projected.approval_to_wire(each, now_us) for each in found.rows],
            next_page_token=token_of(question, found.end),
        )

    async def TraceCauses(self, request: pb.TraceCausesRequest, context: Context) -> pb.TraceCausesResponse:
        tenant = admitted(context, READERS).tenant
        if request.effect_id and not request.event_id:
            traced = await self._causes.of_effect(tenant, request.effect_id)
        else:
            traced = await self._causes.of_event(tenant, request.event_id)
        return events.traced_to_wire(traced, self._ledger.position)

    async def ReplayRun(self, request: pb.ReplayRunRequest, context: Context) -> pb.ReplayRunResponse:
        question = ReplayQuestion(admitted(context, READERS).tenant, run_id=request.run_id, oldest_first=True)
        found = await self._causes.replay(question, request.page_size, request.page_token)
        return events.replay_to_wire(question, found, self._ledger.position)

    # Written rather than yielded, so that whoever does not read is noticed.
    async def WatchEvents(self, request: pb.WatchEventsRequest, context: Context) -> None:  # type: ignore[override]
        question = questions.event_question(
            admitted(context, READERS).tenant, request.filter, oldest_first=True
        )
        after = 0 if request.from_start else None
        if request.cursor:
            after = watched_to(question, request.cursor)
        async with aclosing(self._ledger.watching.watch(question, after)) as watching:
            reached = after or 0
            # With a first answer that is never read it would be under way for ever, and no status could be sent.
            await context.send_initial_metadata(())
            async for watched in watching:
                for answer in events.watched_to_wire(question, watched, self._ledger.position):
                    try:
                        async with asyncio.timeout(self._read_seconds):
                            await context.write(answer)
                    except TimeoutError:
                        raise WatchTooSlow(watch_cursor(question, reached)) from None
                reached = watched.upto
