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
    agent = kept.current(cause.tenant, agent_id)
    if appended.event_ids and appended.sequence in agent.refusals:
        raise FencingTokenStale(agent_id, presented, agent.lock.fencing_token if agent.lock else 0)
