"""What the process of the built-in crew gets for its agents: it reads logs that anybody may have written."""

from typing import Protocol

from services.policy.domain.faults import CrewsAgentTooMuch, NotTheCrews
from services.policy.domain.tier import Tier, up_to

CREW = "service:agents"
HIGHEST = Tier.T1_OPERATOR
# Registrations did not always say by whom. The crew's were of this version then, and nobody else's.
VERSION_BEFORE = "heuristic-1"


class Registration(Protocol):
    @property
    def agent_id(self) -> str: ...
    @property
    def agent_version(self) -> str: ...
    @property
    def registered_by(self) -> str: ...


def require_modest(by: str, agent_id: str, tier: Tier, parent_agent_id: str) -> None:
    """Raises CrewsAgentTooMuch: the crew registers its own, at its tier at most and under nobody."""
    if by == CREW and (tier not in up_to(HIGHEST) or parent_agent_id):
        raise CrewsAgentTooMuch(agent_id, HIGHEST)


def require_own(by: str, registered: Registration) -> None:
    """Raises NotTheCrews: the crew asks for a secret of an agent that somebody else registered."""
    if by != CREW or registered.registered_by == CREW:
        return
    if registered.registered_by or registered.agent_version != VERSION_BEFORE:
        raise NotTheCrews(registered.agent_id)
