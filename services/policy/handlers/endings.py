"""What the revoked still have outside of the log is taken away, and tried again until it is."""

import asyncio
import logging

from kernel.ports import Aggregates
from services.policy.domain.agent import Agent, Command
from services.policy.ports.identity import Identity

AT_ONCE = 4
"""Of all that are ended, so that logins find their turn; a start comes upon all who were ever revoked."""
_log = logging.getLogger(__name__)


class Endings:
    """`end` is the surface outside of the log: called for every revocation that is followed. What could not be ended
    then is ended by `settle`."""

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

    def remember(self) -> None:
        """Of all who were revoked before this process began: those of whom no receipt says that it was done."""
        if not self.surface:
            return
        for tenant in self._agents.tenants():
            for agent_id, agent in self._agents.all(tenant):
                if agent.revoked is not None and not self._is_done(agent):
                    self._owed.add((tenant, agent_id))

    async def settle(self) -> int:
        """End what is still to be ended; how many agents are left."""
        for each in list(self._owed):
            try:
                await self.end(*each)
            except Exception:  # noqa: BLE001 - whatever it is, it keeps nobody else's, and policy goes on
                if each not in self._told:
                    _log.warning("agent %s is not ended outside yet", each[1], exc_info=True)
                    self._told.add(each)
        self._told &= self._owed
        return len(self._owed)

    def _is_done(self, agent: Agent) -> bool:
        """Whether a receipt says so, whichever replica it was."""
        lost = () if agent.receipt is None else agent.receipt.lost
        return any(each.surface == self.surface for each in lost)
