"""Projections, steps and watches of the ledger."""

from provost.ledger.v1 import ledger_pb2
from services.gateway.domain.history import (
    ApprovalRecord,
    ApprovalRecordFilter,
    Chain,
    Promotion,
    PromotionFilter,
    Step,
    Violation,
    ViolationFilter,
    Watched,
    WatchFrom,
)
from services.gateway.domain.records import EventFilter, Page
from services.gateway.wire.ledger import event_from_wire, filter_to_wire
from services.gateway.wire.values import stamp_of, time_of


def violations_to_wire(wanted: ViolationFilter, page: Page) -> ledger_pb2.ListViolationsRequest:
    return ledger_pb2.ListViolationsRequest(
        page_size=page.size,
        page_token=page.token,
        from_time=stamp_of(wanted.from_time),
        to_time=stamp_of(wanted.to_time),
        agent_id=wanted.agent_id,
        task_id=wanted.task_id,
        run_id=wanted.run_id,
        error_type=wanted.error_type,
    )


def promotions_to_wire(wanted: PromotionFilter, page: Page) -> ledger_pb2.ListPromotionsRequest:
    return ledger_pb2.ListPromotionsRequest(
        page_size=page.size,
        page_token=page.token,
        from_time=stamp_of(wanted.from_time),
        to_time=stamp_of(wanted.to_time),
        agent_id=wanted.agent_id,
        to_tier=wanted.to_tier,
    )


def approval_records_to_wire(
    wanted: ApprovalRecordFilter, page: Page
) -> ledger_pb2.ListApprovalRecordsRequest:
    return ledger_pb2.ListApprovalRecordsRequest(
        page_size=page.size,
        page_token=page.token,
        from_time=stamp_of(wanted.from_time),
        to_time=stamp_of(wanted.to_time),
        agent_id=wanted.agent_id,
        task_id=wanted.task_id,
        run_id=wanted.run_id,
        action=wanted.action,
        state=wanted.state,
    )


def watch_to_wire(events: EventFilter, begin: WatchFrom) -> ledger_pb2.WatchEventsRequest:
    return ledger_pb2.WatchEventsRequest(
        filter=filter_to_wire(events), cursor=begin.cursor, from_start=begin.from_start
    )


def violation_from_wire(row: ledger_pb2.Violation) -> Violation:
    return Violation(
        sequence=row.sequence,
        event_id=row.event_id,
        timestamp=time_of(row, "at"),
        agent_id=row.agent_id,
        run_id=row.run_id,
        task_id=row.task_id,
        error_type=row.error_type,
        message=row.message,
    )


def promotion_from_wire(row: ledger_pb2.Promotion) -> Promotion:
    return Promotion(
        sequence=row.sequence,
        event_id=row.event_id,
        timestamp=time_of(row, "at"),
        agent_id=row.agent_id,
        from_tier=row.from_tier,
        to_tier=row.to_tier,
        reason=row.reason,
        by=row.by,
    )


def approval_record_from_wire(row: ledger_pb2.ApprovalRecord) -> ApprovalRecord:
    return ApprovalRecord(
        sequence=row.sequence,
        approval_id=row.approval_id,
        state=row.state,
        request_time=time_of(row, "requested_at"),
        expire_time=time_of(row, "expire_time"),
        answer_time=time_of(row, "answered_at"),
        use_time=time_of(row, "used_at"),
        agent_id=row.agent_id,
        run_id=row.run_id,
        task_id=row.task_id,
        action=row.action,
        target=row.target,
        action_digest=row.action_digest,
        requested_by=row.requested_by,
        why=row.why,
        answered_by=row.answered_by,
        comment=row.comment,
        decision_id=row.decision_id,
    )


def step_from_wire(step: ledger_pb2.Step) -> Step:
    return Step(step.summary, step.caused_by_sequence, event_from_wire(step.event))


def chain_from_wire(answer: ledger_pb2.TraceCausesResponse) -> Chain:
    return Chain(tuple(map(step_from_wire, answer.steps)), answer.incomplete)


def watched_from_wire(answer: ledger_pb2.WatchEventsResponse) -> Watched:
    return Watched(tuple(map(event_from_wire, answer.events)), answer.cursor, answer.ledger_sequence)
