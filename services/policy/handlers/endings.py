"""What the revoked still have outside of the log is taken away, and tried again until it is."""

from kernel.faults import Unavailable
from kernel.ports import Aggregates
from services.policy.domain.agent import Agent, Command
from services.policy.ports.identity import Identity


class Endings:
    """`end` is the surface outside of the log: called for every revocation that is followed. What could not be ended
    then is ended by `settle`."""

    def __init__(self, agents: Aggregates[Agent, Command], identity: Identity) -> None:
        self._agents = agents
        self._identity = identity
        self._owed: set[tuple[str, str]] = set()

    @property
    def surface(self) -> str:
        """What a revocation's receipt calls it; empty: there is nothing outside."""
        return self._identity.surface

    async def end(self, tenant: str, agent_id: str) -> int:
        """How many tokens were taken away. Safe to repeat.

        Raises:
            Unavailable (`VAULT_UNREACHABLE`): not yet; it is done as soon as it can be.
        """
        self._owed.add((tenant, agent_id))
        ended = await self._identity.end(tenant, self._agents.current(tenant, agent_id))
        self._owed.discard((tenant, agent_id))
        return ended

    def remember(self) -> None:
        """Of all who were revoked before this process began: those of whom no receipt says that it was done."""
        if not self.surface:
            return
        for tenant in self._agents.tenants():
            for agent_id, agent in self._agents.all(tenant):
                lost = () if agent.receipt is None else agent.receipt.lost
                if agent.revoked is not None and all(each.surface != self.surface for each in lost):
                    self._owed.add((tenant, agent_id))

    async def settle(self) -> int:
        """End what is still to be ended; how many agents are left."""
        for tenant, agent_id in list(self._owed):
            try:
                await self.end(tenant, agent_id)
            except Unavailable:
                continue  # one that Vault refuses keeps nobody else's
        return len(self._owed)
