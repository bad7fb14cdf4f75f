"""Who controls whom: the agents above one, and those below it."""

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


def controlled(agents: Aggregates[Agent, Command], tenant: str, agent_id: str) -> tuple[str, ...]:
    """The agents below this one, at any depth, by id."""
    children: dict[str, list[str]] = {}
    for child_id, agent in agents.all(tenant):
        if agent.registered is not None and agent.registered.parent_agent_id:
            children.setdefault(agent.registered.parent_agent_id, []).append(child_id)
    below: dict[str, None] = {}
    waiting = [agent_id]
    while waiting:
        for child_id in children.get(waiting.pop(), ()):
            if child_id not in below and child_id != agent_id:
                below[child_id] = None
                waiting.append(child_id)
    return tuple(sorted(below))
