"""The ledger's rows."""

import json

from provost.ledger.v1 import ledger_pb2
from services.gateway.domain.records import (
    ActionFilter,
    AgentAction,
    AgentMetrics,
    Erasure,
    Event,
    EventFilter,
    LedgerCheck,
    Page,
    TreeHead,
    Verification,
)
from services.gateway.wire.values import stamp_of, time_of


def events_to_wire(events: EventFilter, oldest_first: bool, page: Page) -> ledger_pb2.ListEventsRequest:
    return ledger_pb2.ListEventsRequest(
        page_size=page.size,
        page_token=page.token,
        oldest_first=oldest_first,
        filter=filter_to_wire(events),
    )


def filter_to_wire(events: EventFilter) -> ledger_pb2.EventFilter:
    return ledger_pb2.EventFilter(
        from_time=stamp_of(events.from_time),
        to_time=stamp_of(events.to_time),
        context=events.context,
        aggregate=events.aggregate,
        aggregate_id=events.aggregate_id,
        event_type=events.event_type,
        correlation_id=events.correlation_id,
        actor=events.actor,
        agent_id=events.agent_id,
        run_id=events.run_id,
        task_id=events.task_id,
        action=events.action,
        decision=events.decision,
    )


def actions_to_wire(actions: ActionFilter, page: Page) -> ledger_pb2.ListAgentActionsRequest:
    return ledger_pb2.ListAgentActionsRequest(
        page_size=page.size,
        page_token=page.token,
        from_time=stamp_of(actions.from_time),
        to_time=stamp_of(actions.to_time),
        agent_id=actions.agent_id,
        task_id=actions.task_id,
        run_id=actions.run_id,
        action=actions.action,
        decision=actions.decision,
        correlation_id=actions.correlation_id,
    )


def event_from_wire(event: ledger_pb2.LedgerEvent) -> Event:
    return Event(
        sequence=event.sequence,
        leaf_index=event.leaf_index,
        event_id=event.event_id,
        subject=event.subject,
        event_type=event.event_type,
        actor=event.actor,
        correlation_id=event.correlation_id,
        causation_id=event.causation_id,
        at=time_of(event, "at"),
        payload=json.loads(event.payload_json) if event.payload_json else None,
        leaf_hash=event.leaf_hash.hex(),
    )


def action_from_wire(action: ledger_pb2.AgentAction) -> AgentAction:
    return AgentAction(
        sequence=action.sequence,
        timestamp=time_of(action, "at"),
        agent_id=action.agent_id,
        agent_version=action.agent_version,
        tier=action.tier,
        action=action.action,
        target=action.target,
        decision=action.decision,
        confidence=action.confidence,
        success=action.success if action.HasField("success") else None,
        error_type=action.error_type,
        error_message=action.error_message,
        run_id=action.run_id,
        task_id=action.task_id,
        decision_id=action.decision_id,
        rule=action.rule,
        reason=action.reason,
        policy_version=action.policy_version,
    )


def metrics_from_wire(metrics: ledger_pb2.AgentMetrics) -> AgentMetrics:
    return AgentMetrics(
        agent_id=metrics.agent_id,
        current_tier=metrics.current_tier,
        total_runs=metrics.total_runs,
        compliant_runs=metrics.compliant_runs,
        consecutive_compliant=metrics.consecutive_compliant,
        last_active_at=time_of(metrics, "last_active_at"),
        revoked=metrics.revoked,
    )


def erasure_from_wire(erasure: ledger_pb2.Erasure) -> Erasure:
    return Erasure(
        sequence=erasure.sequence,
        subject_id=erasure.subject_id,
        key_id=erasure.key_id,
        reason=erasure.reason,
        by=erasure.by,
        at=time_of(erasure, "at"),
    )


def tree_head_from_wire(answer: ledger_pb2.GetTreeHeadResponse) -> TreeHead:
    head = answer.tree_head
    return TreeHead(
        origin=head.origin,
        tree_size=head.tree_size,
        root_hash=head.root_hash.hex(),
        checkpoint=head.checkpoint,
        verifier_key=answer.verifier_key,
        at=time_of(head, "at"),
    )


def verification_from_wire(answer: ledger_pb2.VerifyLedgerResponse) -> Verification:
    return Verification(
        ok=answer.ok,
        checks=tuple(LedgerCheck(each.name, each.ok, each.detail) for each in answer.checks),
        tree_size=answer.tree_head.tree_size,
        root_hash=answer.tree_head.root_hash.hex(),
        first_bad_sequence=answer.first_bad_sequence,
    )
