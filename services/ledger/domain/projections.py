"""What the events add up to: what agents did, what is known of each, what they violated, what people were asked.

`fold` turns facts, in the order of the log, into whole rows. Telling the same story twice changes nothing: each row is
known by the id of what it is about, and a repeated event adds nothing.
"""

from collections.abc import Callable, Iterable
from typing import TypeVar, cast

from services.ledger.domain.facts import (
    Answered,
    Decided,
    Decision,
    Ended,
    Intended,
    Observed,
    Outcome,
    Planned,
    Requested,
    Revoked,
    TierGiven,
    Told,
    Used,
    Violated,
)
from services.ledger.domain.rows import (
    ActionRow,
    AgentRow,
    ApprovalRow,
    EffectRow,
    Key,
    PromotionRow,
    Row,
    RunRow,
    ViolationRow,
)

R = TypeVar("R", ActionRow, AgentRow, ApprovalRow, EffectRow, PromotionRow, RunRow, ViolationRow)
Lookup = Callable[[type[Row], Key], Row | None]
"""The row of a kind with a key, as it stood before."""
Changed = dict[type[Row], dict[Key, Row]]


class Rows:
    """Rows as they stand while facts are folded into them."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self.changed: Changed = {}

    def get(self, kind: type[R], key: Key) -> R | None:
        row = self.changed.get(kind, {}).get(key) or self._lookup(kind, key)
        return cast("R | None", row)

    def put(self, row: Row) -> None:
        kind, key = type(row), (row[0], row[1])
        if len(key[0]) > MAX_NAME or len(key[1]) > MAX_NAME:
            return  # nobody gave anything such an id
        named = _NAMES[kind]
        if any(len(getattr(row, name)) > MAX_NAME for name in named):
            row = row._replace(**{name: getattr(row, name)[:MAX_NAME] for name in named})
        self.changed.setdefault(kind, {})[key] = row


MAX_NAME = 200
"""What rows are asked for by is no longer (in characters): a database's index may have no room for more."""
_ASKED_BY = {"agent_id", "run_id", "task_id", "action", "decision", "error_type", "to_tier", "state"}
_NAMES: dict[type[Row], tuple[str, ...]] = {
    kind: tuple(name for name in kind._fields[2:] if name in _ASKED_BY)
    for kind in (ActionRow, AgentRow, ApprovalRow, EffectRow, PromotionRow, RunRow, ViolationRow)
}


def fold(told: Iterable[Told], lookup: Lookup) -> Changed:
    """The rows that `told` changes, whole, by kind and key."""
    rows = Rows(lookup)
    for each in told:
        _evolve(rows, each)
    return rows.changed


def _evolve(rows: Rows, told: Told) -> None:
    tenant = told.tenant
    match told.fact:
        case Decided(decisions):
            for position, decision in enumerate(decisions):
                _decided(rows, told, position, decision)
        case Planned(run_id, confidence):
            rows.put(_run(rows, tenant, run_id)._replace(confidence=confidence))
        case Intended(effect_id, decision_id):
            if rows.get(EffectRow, (tenant, effect_id)) is None:
                rows.put(EffectRow(tenant, effect_id, told.sequence, decision_id))
        case Observed(outcomes):
            for outcome in outcomes:
                _observed(rows, tenant, outcome)
        case TierGiven() as given:
            _tier_given(rows, told, given)
        case Revoked(agent_id, at_us):
            rows.put(_active(_agent(rows, tenant, agent_id), at_us)._replace(revoked=True))
        case Ended() as ended:
            _ended(rows, tenant, ended)
        case Violated() as violated:
            if rows.get(ViolationRow, (tenant, told.event_id)) is None:
                rows.put(
                    ViolationRow(
                        tenant,
                        told.event_id,
                        told.sequence,
                        violated.at_us,
                        violated.agent_id,
                        violated.run_id,
                        violated.task_id,
                        violated.error_type,
                        violated.message,
                    )
                )
        case Requested() as requested:
            _requested(rows, told, requested)
        case Answered() as answered:
            _answered(rows, told, answered)
        case Used(approval_id, decision_id, at_us):
            approval = rows.get(ApprovalRow, (tenant, approval_id))
            if approval and approval.used_us is None:
                rows.put(
                    approval._replace(
                        state="USED", decision_id=decision_id, used_us=at_us, used_sequence=told.sequence
                    )
                )


def _tier_given(rows: Rows, told: Told, given: TierGiven) -> None:
    # Told again after a later change, it must not take that back.
    if rows.get(PromotionRow, (told.tenant, told.event_id)) is not None:
        return
    agent = _agent(rows, told.tenant, given.agent_id)
    rows.put(
        PromotionRow(
            told.tenant,
            told.event_id,
            told.sequence,
            given.at_us,
            given.agent_id,
            agent.current_tier,
            given.tier,
            given.reason,
            given.by or told.actor,
        )
    )
    rows.put(_active(agent, given.at_us)._replace(current_tier=given.tier))


def _requested(rows: Rows, told: Told, asked: Requested) -> None:
    if rows.get(ApprovalRow, (told.tenant, asked.approval_id)) is not None:
        return
    rows.put(
        ApprovalRow(
            told.tenant,
            asked.approval_id,
            told.sequence,
            asked.at_us,
            asked.expire_us,
            asked.agent_id,
            asked.run_id,
            asked.task_id,
            asked.action,
            asked.target,
            asked.action_digest,
            asked.requested_by,
            asked.why,
            state="PENDING",
            answered_by="",
            comment="",
            answered_us=None,
            answered_sequence=None,
            decision_id="",
            used_us=None,
            used_sequence=None,
        )
    )


def _answered(rows: Rows, told: Told, answered: Answered) -> None:
    approval = rows.get(ApprovalRow, (told.tenant, answered.approval_id))
    if approval and approval.answered_us is None:
        refused = "CHANGES_REQUESTED" if answered.changes_requested else "REJECTED"
        rows.put(
            approval._replace(
                state="APPROVED" if answered.approved else refused,
                answered_by=answered.by,
                comment=answered.comment,
                answered_us=answered.at_us,
                answered_sequence=told.sequence,
            )
        )


def _decided(rows: Rows, told: Told, position: int, decision: Decision) -> None:
    if rows.get(ActionRow, (told.tenant, decision.decision_id)) is not None:
        return
    rows.put(
        ActionRow(
            told.tenant,
            decision.decision_id,
            told.sequence,
            position,
            decision.at_us,
            decision.agent_id,
            decision.agent_version,
            decision.tier,
            decision.action,
            decision.target,
            decision.verdict,
            _run(rows, told.tenant, decision.run_id).confidence,
            None,
            "",
            "",
            decision.run_id,
            decision.task_id,
            decision.rule,
            decision.reason,
            decision.policy_version,
        )
    )


def _observed(rows: Rows, tenant: str, outcome: Outcome) -> None:
    effect = rows.get(EffectRow, (tenant, outcome.effect_id))
    action = effect and rows.get(ActionRow, (tenant, effect.decision_id))
    # An outcome that is known stays: an older "nobody knows" may be delivered again.
    if action and action.success is None:
        rows.put(
            action._replace(
                success=outcome.success, error_type=outcome.error_type, error_message=outcome.error_message
            )
        )


def _ended(rows: Rows, tenant: str, ended: Ended) -> None:
    run = _run(rows, tenant, ended.run_id)
    if run.ended:
        return
    rows.put(run._replace(ended=True))
    if not ended.agent_id or not ended.counted:
        return
    agent = _active(_agent(rows, tenant, ended.agent_id), ended.at_us)
    rows.put(
        agent._replace(
            total_runs=agent.total_runs + 1,
            compliant_runs=agent.compliant_runs + ended.compliant,
            consecutive_compliant=agent.consecutive_compliant + 1 if ended.compliant else 0,
        )
    )


def _run(rows: Rows, tenant: str, run_id: str) -> RunRow:
    return rows.get(RunRow, (tenant, run_id)) or RunRow(tenant, run_id, 0.0, False)


def _agent(rows: Rows, tenant: str, agent_id: str) -> AgentRow:
    known = rows.get(AgentRow, (tenant, agent_id))
    return known or AgentRow(tenant, agent_id, "", 0, 0, 0, None, False)


def _active(agent: AgentRow, at_us: int) -> AgentRow:
    return agent._replace(last_active_us=max(at_us, agent.last_active_us or 0))
