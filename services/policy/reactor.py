"""From the event log into memory: agents, approvals, policy sets, and the packets that state hands out.

Policy does not follow its own decisions: it would read everything it has just written.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from chassis.eventlog.aggregates import HeldAggregates
from chassis.eventlog.codec import Codec, Unreadable
from chassis.telemetry import get_logger
from kernel.events import Recorded
from kernel.ports import EventLog, Following
from services.policy.domain.action import Packet
from services.policy.domain.agent import AGENT
from services.policy.domain.approval import APPROVAL
from services.policy.domain.policyset import POLICY_SET

FILTERS = (
    "evt.*.policy.agent.*.*",
    "evt.*.policy.approval.*.*",
    "evt.*.policy.policyset.*.*",
    "evt.*.state.agent.*.PacketIssued",
)

UNHEALTHY_SECONDS = 5.0  # a decision is refused much sooner; this is for whoever chooses a replica

Take = Callable[[Sequence[Recorded]], Awaitable[None]]

_log = get_logger("policy.reactor")


class HeldPackets:
    """Implements `Packets`: the newest one of each agent."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._packets: dict[tuple[str, str], Packet] = {}

    def current(self, tenant: str, agent_id: str) -> Packet | None:
        return self._packets.get((tenant, agent_id))

    async def take(self, events: Sequence[Recorded]) -> None:
        """An unreadable packet leaves its agent without one, so that nothing is allowed that it might forbid."""
        for recorded in events:
            if recorded.event_type != "PacketIssued":
                continue
            stream = recorded.stream
            try:
                packet = self._codec.decode(recorded)
            except Unreadable as problem:
                _log.error("packet not read", problem=problem.text)
                self._packets.pop((stream.tenant, stream.id), None)
                continue
            assert isinstance(packet, Packet)
            self._packets[stream.tenant, stream.id] = packet


class Held:
    """What policy keeps in memory of the log; the follower delivers to it."""

    def __init__(self, log: EventLog, codec: Codec) -> None:
        self.agents = HeldAggregates(AGENT, log, codec)
        self.approvals = HeldAggregates(APPROVAL, log, codec)
        self.published = HeldAggregates(POLICY_SET, log, codec)
        self.packets = HeldPackets(codec)
        self._takers: tuple[Take, ...] = (
            self.agents.take,
            self.approvals.take,
            self.published.take,
            self.packets.take,
        )

    async def deliver(self, events: Sequence[Recorded]) -> None:
        for take in self._takers:
            await take(events)


async def keep_health(following: Following, set_serving: Callable[[bool], Awaitable[None]]) -> None:
    """Serving as long as the newest revocations are known here; looks once a second, until cancelled."""
    while True:
        await set_serving(following.stale_seconds <= UNHEALTHY_SECONDS)
        await asyncio.sleep(1.0)
