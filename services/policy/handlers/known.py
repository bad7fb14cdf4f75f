"""An agent that somebody has registered."""

from kernel.ports import Aggregates
from services.policy.domain.agent import Agent, Command
from services.policy.domain.faults import AgentUnknown


def known_agent(agents: Aggregates[Agent, Command], tenant: str, agent_id: str) -> Agent:
    """Raises AgentUnknown."""
    agent = agents.current(tenant, agent_id)
    if agent.registered is None:
        raise AgentUnknown(agent_id)
    return agent
