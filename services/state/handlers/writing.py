"""Who writes at this moment, and whose lock is on its way to another: so that nothing is sent behind what ends it."""

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager

from kernel.ports import Guard
from services.state.domain.faults import AgentIsRevoked
from services.state.domain.view import View

Key = tuple[str, str]
"""Tenant and agent."""


class _Change:
    """How many changes of one lock are on their way to the log."""

    def __init__(self) -> None:
        self.n = 0
        self.over = asyncio.Event()


class Writing:
    """What this process is about to write for whom."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._at_it: dict[Key, int] = {}
        self._less = asyncio.Event()
        self._changing: dict[Key, _Change] = {}
        self.doubts = 0
        """How often nobody learned what became of a lock: what was seen of the log before is seen anew."""

    @contextmanager
    def by(self, tenant: str, agent_id: str) -> Iterator[None]:
        """Inside, `agent_id` writes. Raises AgentIsRevoked."""
        self.require_power(tenant, agent_id)
        key = (tenant, agent_id)
        self._at_it[key] = self._at_it.get(key, 0) + 1
        try:
            yield
        finally:
            self._at_it[key] -= 1
            if not self._at_it[key]:
                del self._at_it[key]
            less, self._less = self._less, asyncio.Event()
            less.set()

    def require_power(self, tenant: str, agent_id: str) -> None:
        """Raises AgentIsRevoked."""
        if self._view.is_revoked(tenant, agent_id):
            raise AgentIsRevoked(agent_id)

    async def over(self, tenant: str, agent_id: str) -> int:
        """Wait until nothing of the agent is being written; how much was."""
        under_way = self._at_it.get((tenant, agent_id), 0)
        while (tenant, agent_id) in self._at_it:
            await self._less.wait()
        return under_way

    @contextmanager
    def changing(self, tenant: str, agent_id: str) -> Iterator[Guard]:
        """For a command that takes a lock, gives it back or takes it away: what its append is to ask first.

        From then on and until this is left, `settled` makes whoever shows a token of the lock wait. A command that is
        refused before it is sent keeps nobody waiting.
        """
        change: _Change | None = None

        def begins() -> None:
            nonlocal change
            if change is None:
                change = self._changing.setdefault((tenant, agent_id), _Change())
                change.n += 1

        try:
            yield begins
        except BaseException:
            self.doubts += change is not None
            raise
        finally:
            if change is not None:
                change.n -= 1
                if not change.n:
                    del self._changing[tenant, agent_id]
                    change.over.set()

    def settled(self, tenant: str, agent_id: str) -> Awaitable[object] | None:
        """To be awaited while a change of the agent's lock is on its way to the log; `None` when there is none."""
        change = self._changing.get((tenant, agent_id))
        return None if change is None else change.over.wait()
