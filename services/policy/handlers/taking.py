"""Taking power away in policy itself: each answers once there is nothing left that could be used."""

from collections.abc import Awaitable, Callable, Mapping

from kernel.events import Cause, derived_id
from services.policy.domain.actor import POLICY
from services.policy.handlers.budgets import Spending
from services.policy.handlers.endings import Endings
from services.policy.ports import Held, Means


class Taking:
    """One method for each surface. All are safe to repeat."""

    def __init__(self, held: Held, spending: Spending, endings: Endings, means: Means) -> None:
        self._agents = held.agents
        self._spending = spending
        self._endings = endings
        self._now = means.now

    @property
    def surfaces(self) -> Mapping[str, Callable[[str, str], Awaitable[int]]]:
        """What policy holds of agents' power, and how each is taken away (tenant, agent_id); how many there were."""
        inside = {"tokens": self.tokens, "reservations": self.reservations}
        outside = {self._endings.surface: self._endings.end} if self._endings.surface else {}
        return inside | outside

    async def tokens(self, tenant: str, agent_id: str) -> int:
        """Every session is refused from the moment the revocation is known here; how many would still have run."""
        agent = self._agents.current(tenant, agent_id)
        if agent.revoked is None:
            raise RuntimeError(f"the revocation of {agent_id} has not been folded")
        return sum(each.expire_time > self._now() for each in agent.sessions)

    async def reservations(self, tenant: str, agent_id: str) -> int:
        """What is set aside for the agent is closed."""
        request_id = derived_id(tenant, "reservations of revoked", agent_id)
        return await self._spending.close_of(agent_id, Cause(tenant, request_id, POLICY, self._now()))
