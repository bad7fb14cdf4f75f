"""Rows of projections as protobuf messages."""

from provost.ledger.v1 import ledger_pb2 as pb
from services.ledger.domain.rows import ActionRow, AgentRow, ApprovalRow, PromotionRow, ViolationRow
from services.ledger.wire.times import to_wire


def action_to_wire(row: ActionRow) -> pb.AgentAction:
    return pb.AgentAction(
        sequence=row.sequence,
        at=to_wire(row.at_us),
        agent_id=row.agent_id,
        agent_version=row.agent_version,
        tier=row.tier,
        action=row.action,
        decision=row.decision,
        confidence=row.confidence,
        success=row.success,
        error_type=row.error_type,
        error_message=row.error_message,
        run_id=row.run_id,
        task_id=row.task_id,
        decision_id=row.decision_id,
        rule=row.rule,
        reason=row.reason,
        policy_version=row.policy_version,
        target=row.target,
    )


def agent_to_wire(row: AgentRow) -> pb.AgentMetrics:
    return pb.AgentMetrics(
        agent_id=row.agent_id,
        current_tier=row.current_tier,
        total_runs=row.total_runs,
        compliant_runs=row.compliant_runs,
        consecutive_compliant=row.consecutive_compliant,
        last_active_at=to_wire(row.last_active_us),
        revoked=row.revoked,
    )


def violation_to_wire(row: ViolationRow) -> pb.Violation:
    return pb.Violation(
        sequence=row.sequence,
        event_id=row.event_id,
        at=to_wire(row.at_us),
        agent_id=row.agent_id,
        run_id=row.run_id,
        task_id=row.task_id,
        error_type=row.error_type,
        message=row.message,
    )


def promotion_to_wire(row: PromotionRow) -> pb.Promotion:
    return pb.Promotion(
        sequence=row.sequence,
        event_id=row.event_id,
        at=to_wire(row.at_us),
        agent_id=row.agent_id,
        from_tier=row.from_tier,
        to_tier=row.to_tier,
        reason=row.reason,
        by=row.by,
    )


def approval_to_wire(row: ApprovalRow, now_us: int) -> pb.ApprovalRecord:
    return pb.ApprovalRecord(
        sequence=row.sequence,
        approval_id=row.approval_id,
        requested_at=to_wire(row.at_us),
        answered_at=to_wire(row.answered_us),
        agent_id=row.agent_id,
        run_id=row.run_id,
        task_id=row.task_id,
        action=row.action,
        target=row.target,
        action_digest=row.action_digest,
        state=row.state_at(now_us),
        answered_by=row.answered_by,
        comment=row.comment,
        requested_by=row.requested_by,
        why=row.why,
        expire_time=to_wire(row.expire_us),
        used_at=to_wire(row.used_us),
        decision_id=row.decision_id,
    )
