"""An agent that somebody has registered, here or at another replica."""

from kernel.ports import Aggregates, Following
from services.policy.domain.agent import Agent, Command
from services.policy.domain.faults import AgentUnknown
from services.policy.ports import Held


async def found_agent(held: Held, following: Following, tenant: str, agent_id: str) -> Agent:
    """The agent; who is not known here may have been registered at another replica a moment ago.

    Raises:
        AgentUnknown: nobody has registered it.
        Unavailable: this replica is behind, and cannot say.
    """
    if held.agents.current(tenant, agent_id).registered is None:
        await held.catch_up(following)
    return known_agent(held.agents, tenant, agent_id)


def known_agent(agents: Aggregates[Agent, Command], tenant: str, agent_id: str) -> Agent:
    """Raises AgentUnknown."""
    agent = agents.current(tenant, agent_id)
    if agent.registered is None:
        raise AgentUnknown(agent_id)
    return agent
