"""Requests as questions. Every function may raise Invalid: a time that no calendar has, a word that there is not.

A filter that nothing can match would answer that nothing happened.
"""

from collections.abc import Sequence
from typing import Any

from kernel.faults import Invalid
from provost.ledger.v1 import ledger_pb2 as pb
from services.ledger.domain.questions import (
    ActionQuestion,
    ApprovalQuestion,
    EventQuestion,
    PromotionQuestion,
    ViolationQuestion,
)
from services.ledger.wire.times import from_wire

_DECISIONS = ("ALLOW", "DENY", "NEEDS_APPROVAL")
_STATES = ("PENDING", "APPROVED", "REJECTED", "CHANGES_REQUESTED", "USED", "EXPIRED")


def event_question(tenant: str, wanted: pb.EventFilter, *, oldest_first: bool) -> EventQuestion:
    return EventQuestion(
        tenant=tenant,
        context=wanted.context,
        aggregate=wanted.aggregate,
        aggregate_id=wanted.aggregate_id,
        event_type=wanted.event_type,
        correlation_id=wanted.correlation_id,
        actor=wanted.actor,
        agent_id=wanted.agent_id,
        run_id=wanted.run_id,
        task_id=wanted.task_id,
        action=wanted.action,
        decision=_one_of(_DECISIONS, "decision", wanted.decision),
        oldest_first=oldest_first,
        **_times(wanted),
    )


def action_question(tenant: str, request: pb.ListAgentActionsRequest) -> ActionQuestion:
    run_id = request.run_id or request.correlation_id
    if request.correlation_id not in ("", run_id):
        raise Invalid("FIELD_INVALID", "correlation_id is the run: it is not run_id", field="correlation_id")
    return ActionQuestion(
        tenant=tenant,
        agent_id=request.agent_id,
        task_id=request.task_id,
        run_id=run_id,
        action=request.action,
        decision=_one_of(_DECISIONS, "decision", request.decision),
        **_times(request),
    )


def violation_question(tenant: str, request: pb.ListViolationsRequest) -> ViolationQuestion:
    return ViolationQuestion(
        tenant=tenant,
        agent_id=request.agent_id,
        task_id=request.task_id,
        run_id=request.run_id,
        error_type=request.error_type,
        **_times(request),
    )


def promotion_question(tenant: str, request: pb.ListPromotionsRequest) -> PromotionQuestion:
    return PromotionQuestion(
        tenant=tenant, agent_id=request.agent_id, to_tier=request.to_tier, **_times(request)
    )


def approval_question(tenant: str, request: pb.ListApprovalRecordsRequest, now_us: int) -> ApprovalQuestion:
    return ApprovalQuestion(
        tenant=tenant,
        agent_id=request.agent_id,
        task_id=request.task_id,
        run_id=request.run_id,
        action=request.action,
        state=_one_of(_STATES, "state", request.state),
        now_us=now_us,
        **_times(request),
    )


def _one_of(words: Sequence[str], field: str, word: str) -> str:
    if word and word not in words:
        raise Invalid("FIELD_INVALID", f"{field} must be one of {', '.join(words)}", field=field)
    return word


def _times(message: Any) -> dict[str, int | None]:
    return {"from_us": from_wire(message, "from_time"), "to_us": from_wire(message, "to_time")}
