"""Agents in memory: with one whose revocation is known, all that it controls lose their power in the same step."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from chassis.eventlog.aggregates import HeldAggregates
from chassis.eventlog.codec import Codec
from kernel.events import Recorded
from kernel.ports import EventLog
from services.policy.domain.agent import AGENT, Agent, Command, Event
from services.policy.domain.revocation import AgentRevoked
from services.policy.ports.told import Fallen


class HeldAgents(HeldAggregates[Command, Agent, Event]):
    """Implements `ports.told.HeldAgents`. Who controls whom is looked at as events come, so that no decision has to."""

    def __init__(self, log: EventLog, codec: Codec) -> None:
        super().__init__(AGENT, log, codec)
        self._children: dict[tuple[str, str], dict[str, None]] = {}
        self._fallen: dict[tuple[str, str], str] = {}

    def fallen(self) -> Sequence[Fallen]:
        return [Fallen(tenant, key, above) for (tenant, key), above in self._fallen.items()]

    def _advance(self, tenant: str, key: str, held: Any, sequence: int, event_id: str) -> None:
        # The one place that every event passes, followed or written here, once it is in the state.
        super()._advance(tenant, key, held, sequence, event_id)
        agent: Agent = held.state
        parent = "" if agent.registered is None else agent.registered.parent_agent_id
        if parent:
            self._children.setdefault((tenant, parent), {})[key] = None
        if agent.revoked is not None:
            self._fallen.pop((tenant, key), None)
            self._fell(tenant, key, agent.fell_with)
        elif parent and (above := self._of(tenant, parent).state.fell_with) and not agent.fell_with:
            self._lose(tenant, key, above)
            self._fell(tenant, key, above)

    def _close(self, held: Any, recorded: Recorded, why: str) -> None:
        super()._close(held, recorded, why)
        if recorded.event_type == AgentRevoked.__name__:
            # Whom it is about is said by its subject: a revocation that cannot be read takes their power all the same.
            tenant, agent_id = recorded.stream.tenant, recorded.stream.id
            held.state = replace(held.state, fell_with=agent_id)
            self._fell(tenant, agent_id, agent_id)

    def _fell(self, tenant: str, agent_id: str, above: str) -> None:
        """Those below, at any depth; who has lost all before has lost it with all below."""
        waiting = [agent_id]
        while waiting:
            for child in self._children.get((tenant, waiting.pop()), ()):
                if not self._of(tenant, child).state.fell_with:
                    self._lose(tenant, child, above)
                    waiting.append(child)

    def _lose(self, tenant: str, agent_id: str, above: str) -> None:
        held = self._of(tenant, agent_id)
        held.state = replace(held.state, fell_with=above)
        self._fallen[tenant, agent_id] = above
