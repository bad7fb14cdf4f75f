"""Who controls an agent: the agents above it."""

from kernel.ports import Aggregates
from services.policy.domain.agent import Agent, Command


def lineage(agents: Aggregates[Agent, Command], tenant: str, agent_id: str) -> tuple[str, ...]:
    """The agents above this one, nearest first; none when people control it."""
    above: list[str] = []
    agent = agents.current(tenant, agent_id)
    while agent.registered is not None and agent.registered.parent_agent_id:
        parent = agent.registered.parent_agent_id
        if parent in above:
            break  # registering makes no circles; whoever wrote one into the log gets an end all the same
        above.append(parent)
        agent = agents.current(tenant, parent)
    return tuple(above)
