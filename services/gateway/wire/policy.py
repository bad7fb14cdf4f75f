"""Agents and approvals."""

from provost.policy.v1 import policy_pb2
from services.gateway.domain.records import (
    Agent,
    Answer,
    Approval,
    ApprovalState,
    GivenVote,
    Page,
    Revocation,
    TrackRecord,
    Vote,
)
from services.gateway.wire.values import name_of, time_of


def revocation_to_wire(ask: Revocation) -> policy_pb2.RevokeAgentRequest:
    return policy_pb2.RevokeAgentRequest(
        request_id=ask.request_id,
        agent_id=ask.agent_id,
        kind=ask.kind,
        details=ask.details,
        wait_ms=ask.wait_ms,
    )


def answer_to_wire(answer: Answer) -> policy_pb2.AnswerApprovalRequest:
    return policy_pb2.AnswerApprovalRequest(
        request_id=answer.request_id,
        approval_id=answer.approval_id,
        approve=answer.vote is Vote.APPROVE,
        vote=policy_pb2.Vote.Value(f"VOTE_{answer.vote.name}"),
        comment=answer.comment,
    )


def approvals_to_wire(
    state: ApprovalState | None, run_id: str, page: Page
) -> policy_pb2.ListApprovalsRequest:
    return policy_pb2.ListApprovalsRequest(
        page_size=page.size,
        page_token=page.token,
        state=policy_pb2.ApprovalState.Value(f"APPROVAL_STATE_{state or 'UNSPECIFIED'}"),
        run_id=run_id,
    )


def agent_from_wire(agent: policy_pb2.Agent) -> Agent:
    return Agent(
        agent_id=agent.agent_id,
        tier=name_of(policy_pb2.Tier, agent.tier, "TIER_"),
        state=name_of(policy_pb2.AgentState, agent.state, "AGENT_STATE_"),
        agent_version=agent.agent_version,
        revoke_reason=agent.revoke_reason,
        revoked_by=agent.revoked_by,
        revoke_time=time_of(agent, "revoke_time"),
        register_time=time_of(agent, "register_time"),
        parent_agent_id=agent.parent_agent_id,
        registered_by=agent.registered_by,
        suspend_reason=agent.suspend_reason,
        record=_record(agent.record) if agent.HasField("record") else None,
    )


def _record(record: policy_pb2.TrackRecord) -> TrackRecord:
    return TrackRecord(
        record.verified_runs,
        record.compliant_in_row,
        record.violations,
        record.violations_at_tier,
        time_of(record, "tier_since_time"),
    )


def approval_from_wire(approval: policy_pb2.Approval) -> Approval:
    action = approval.action
    return Approval(
        approval_id=approval.approval_id,
        state=name_of(policy_pb2.ApprovalState, approval.state, "APPROVAL_STATE_"),
        action=action.name,
        target=action.target,
        environment=action.environment,
        parameters=dict(action.parameters),
        action_digest=approval.action_digest,
        run_id=approval.run_id,
        agent_id=approval.agent_id,
        requested_by=approval.requested_by,
        why=approval.why,
        answered_by=approval.answered_by,
        comment=approval.comment,
        request_time=time_of(approval, "request_time"),
        expire_time=time_of(approval, "expire_time"),
        answer_time=time_of(approval, "answer_time"),
        rule=approval.rule,
        needed=approval.needed,
        approvers=tuple(approval.approvers),
        votes=tuple(
            GivenVote(
                each.by, name_of(policy_pb2.Vote, each.vote, "VOTE_"), each.comment, time_of(each, "at")
            )
            for each in approval.votes
        ),
        task_id=approval.task_id,
    )
