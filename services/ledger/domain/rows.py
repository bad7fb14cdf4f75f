"""The rows that events add up to: what is known of actions, agents, approvals and the rest.

`domain.projections` folds facts into them.
"""

from typing import NamedTuple


class ActionRow(NamedTuple):
    """One decision about one action, and what came of it; `position` is its place within its event."""

    tenant: str
    decision_id: str
    sequence: int
    position: int
    at_us: int
    agent_id: str
    agent_version: str
    tier: str
    action: str
    target: str
    decision: str
    confidence: float
    success: bool | None
    error_type: str
    error_message: str
    run_id: str
    task_id: str
    rule: str
    reason: str
    policy_version: str


class EffectRow(NamedTuple):
    """Which decision an effect was carried out under; `sequence` is that of its intent."""

    tenant: str
    effect_id: str
    sequence: int
    decision_id: str


class RunRow(NamedTuple):
    """What later events need to know of a run: how sure its plan was, and whether its end is counted."""

    tenant: str
    run_id: str
    confidence: float
    ended: bool


class AgentRow(NamedTuple):
    """One agent's record. Runs refused before they began count for nothing."""

    tenant: str
    agent_id: str
    current_tier: str
    total_runs: int
    compliant_runs: int
    consecutive_compliant: int
    last_active_us: int | None
    revoked: bool


class ViolationRow(NamedTuple):
    """One breach of procedure."""

    tenant: str
    event_id: str
    sequence: int
    at_us: int
    agent_id: str
    run_id: str
    task_id: str
    error_type: str
    message: str


class PromotionRow(NamedTuple):
    """A change of tier; the first, from none, is the agent's registration."""

    tenant: str
    event_id: str
    sequence: int
    at_us: int
    agent_id: str
    from_tier: str
    to_tier: str
    reason: str
    by: str


class ApprovalRow(NamedTuple):
    """What people were asked and what became of it, as the events say: PENDING, APPROVED, REJECTED, CHANGES_REQUESTED
    or USED.

    Sequences and times are None for what has not happened.
    """

    tenant: str
    approval_id: str
    sequence: int
    at_us: int
    expire_us: int
    agent_id: str
    run_id: str
    task_id: str
    action: str
    target: str
    action_digest: str
    requested_by: str
    why: str
    state: str
    answered_by: str
    comment: str
    answered_us: int | None
    answered_sequence: int | None
    decision_id: str
    used_us: int | None
    used_sequence: int | None

    def state_at(self, now_us: int) -> str:
        """As policy says it at that time: what is pending or approved is EXPIRED when its time is over."""
        return "EXPIRED" if self.state in MAY_EXPIRE and now_us >= self.expire_us else self.state


MAY_EXPIRE = frozenset({"PENDING", "APPROVED"})
Key = tuple[str, str]
"""Tenant and id: the first two columns of every row."""
Row = ActionRow | AgentRow | ApprovalRow | EffectRow | PromotionRow | RunRow | ViolationRow
