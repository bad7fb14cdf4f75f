"""What the revoked still have outside of the log is taken away, and of those whose standing was lowered what is too
much: tried again until it is."""

import asyncio
import logging

from kernel.ports import Aggregates
from services.policy.domain.agent import Agent, Command
from services.policy.domain.standing import AgentDemoted
from services.policy.ports.identity import Identity

AT_ONCE = 4
"""Of all that are ended, so that logins find their turn; a start comes upon all who were ever revoked."""
_log = logging.getLogger(__name__)


class Endings:
    """`end` is the surface outside of the log: called for every revocation that is followed. What could not be ended
    then, and whoever was owed to, `settle` sees to."""

    def __init__(self, agents: Aggregates[Agent, Command], identity: Identity) -> None:
        self._agents = agents
        self._identity = identity
        self._owed: set[tuple[str, str]] = set()
        self._told: set[tuple[str, str]] = set()
        self._turn = asyncio.Semaphore(AT_ONCE)

    @property
    def surface(self) -> str:
        """What a revocation's receipt calls it; empty: there is nothing outside."""
        return self._identity.surface

    async def end(self, tenant: str, agent_id: str) -> int:
        """How many tokens were taken away. Safe to repeat.

        Raises:
            Unavailable (`VAULT_UNREACHABLE`): not yet; it is done as soon as it can be.
        """
        if self._is_done(self._agents.current(tenant, agent_id)):
            return 0
        self._owed.add((tenant, agent_id))
        async with self._turn:
            ended = await self._identity.end(tenant, self._agents.current(tenant, agent_id))
        self._owed.discard((tenant, agent_id))
        return ended

    def owe(self, tenant: str, agent_id: str) -> None:
        """The agent may less than it did, or may have been given more than it may."""
        if self.surface:
            self._owed.add((tenant, agent_id))

    def remember(self) -> None:
        """Of all that was before this process began: those revoked of whom no receipt says that it was done, and those
        whose standing was lowered last, for nothing says it of them."""
        for tenant in self._agents.tenants():
            for agent_id, agent in self._agents.all(tenant):
                lowered = agent.suspended is not None or isinstance(agent.moved, AgentDemoted)
                if not self._is_done(agent) if agent.revoked is not None else lowered:
                    self.owe(tenant, agent_id)

    async def settle(self) -> int:
        """End, or lower, what is still owed; how many agents are left."""
        for each in list(self._owed):
            self._owed.discard(each)  # what comes while it is seen to counts
            try:
                await self._see_to(*each)
            except Exception:  # noqa: BLE001 - whatever it is, it keeps nobody else's, and policy goes on
                self._owed.add(each)
                if each not in self._told:
                    _log.warning("agent %s still has outside what it may not", each[1], exc_info=True)
                    self._told.add(each)
        self._told &= self._owed
        return len(self._owed)

    async def _see_to(self, tenant: str, agent_id: str) -> None:
        agent = self._agents.current(tenant, agent_id)
        if agent.fell_with:
            await self.end(tenant, agent_id)
        else:
            await self._identity.lower(tenant, agent)

    def _is_done(self, agent: Agent) -> bool:
        """Whether a receipt says so, whichever replica it was."""
        lost = () if agent.receipt is None else agent.receipt.lost
        return any(each.surface == self.surface for each in lost)
