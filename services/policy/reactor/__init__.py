"""From the event log into memory: agents, approvals, policy sets, budgets, and the packets that state hands out.

Policy does not follow its own decisions: it would read everything it has just written.
"""

from collections.abc import Awaitable, Callable, Sequence

from chassis.eventlog.aggregates import HeldAggregates
from chassis.eventlog.codec import Codec
from chassis.eventlog.once import Once
from chassis.powers.announcing import ANNOUNCED
from kernel.events import Recorded
from kernel.ports import EventLog, Following
from services.policy.domain.approval import APPROVAL
from services.policy.domain.budget import BUDGET
from services.policy.domain.policyset_published import POLICY_SET
from services.policy.reactor.agents import HeldAgents
from services.policy.reactor.keeping import keep, keep_ended, keep_expired, keep_health, keep_trust
from services.policy.reactor.records import HeldRecords
from services.policy.reactor.told import HeldErrors, HeldLabels, HeldPackets
from services.policy.wire.budgets import BUDGET_CODEC

__all__ = ["FILTERS", "Held", "keep", "keep_ended", "keep_expired", "keep_health", "keep_trust"]

FILTERS = (
    "evt.*.policy.agent.*.*",
    "evt.*.policy.approval.*.*",
    "evt.*.policy.policyset.*.*",
    "evt.*.policy.budget.all.*",
    "evt.*.state.agent.*.PacketIssued",
    "evt.*.state.agent.*.RunLabelled",
    "evt.*.state.agent.*.ErrorRecorded",
    "evt.*.orchestrator.run.*.EffectIntended",
    "evt.*.orchestrator.run.*.RunVerified",
    "evt.*.orchestrator.run.*.RunEnded",
    ANNOUNCED,
)

Take = Callable[[Sequence[Recorded]], Awaitable[None]]


class Held:
    """What policy keeps in memory of the log; the follower delivers to it."""

    def __init__(self, log: EventLog, codec: Codec) -> None:
        self.agents = HeldAgents(log, codec)
        self.approvals = HeldAggregates(APPROVAL, log, codec)
        self.published = HeldAggregates(POLICY_SET, log, codec)
        self.packets = HeldPackets(codec)
        self.labels = HeldLabels(codec)
        self.records = HeldRecords(codec)
        self.errors = HeldErrors(codec)
        self.budgets = HeldAggregates(BUDGET, log, BUDGET_CODEC)
        self._log = log
        self._once = Once(kept=("state.agent", "policy.agent"))
        self._aggregates: tuple[Take, ...] = (
            self.agents.take,
            self.approvals.take,
            self.published.take,
            self.budgets.take,
        )
        self._told: tuple[Take, ...] = (
            self.packets.take,
            self.labels.take,
            self.records.take,
            self.errors.take,
        )
        self._also: tuple[Take, ...] = ()

    def also(self, take: Take) -> None:
        """Deliver to `take`, too, once everything here has been folded."""
        self._also += (take,)

    async def last_sequence(self) -> int:
        return await self._log.last_sequence()

    async def catch_up(self, following: Following) -> None:
        await following.reached(await self.last_sequence())

    async def deliver(self, events: Sequence[Recorded]) -> None:
        for take in self._aggregates:
            await take(events)
        once = self._once.of(events)
        for take in self._told:
            await take(once)
        for take in self._also:
            await take(events)
