"""What came of a command that shows a fencing token: it counted, or its refusal was recorded."""

from kernel.events import Appended, Cause
from kernel.ports import Aggregates
from services.state.domain import agent as agents
from services.state.domain.faults import FencingTokenStale


def require_accepted(
    kept: Aggregates[agents.Agent, agents.Command],
    agent_id: str,
    presented: int,
    appended: Appended,
    cause: Cause,
) -> None:
    """Raises FencingTokenStale when `appended` was a refusal, now or when this was first asked."""
    if appended.event_ids and appended.sequence in kept.current(cause.tenant, agent_id).refusals:
        raise refused(kept, agent_id, presented, cause)


def refused(
    kept: Aggregates[agents.Agent, agents.Command], agent_id: str, presented: int, cause: Cause
) -> FencingTokenStale:
    """That the token presented is not the newest, and which one is."""
    lock = kept.current(cause.tenant, agent_id).lock
    return FencingTokenStale(agent_id, presented, lock.fencing_token if lock else 0)
