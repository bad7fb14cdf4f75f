"""Budgets are told what came of what was set aside: all together, and only by runs that have anything set aside."""

import asyncio
from collections.abc import Sequence

from kernel.faults import NotFound, Refused
from services.orchestrator.domain.settling import Settlement
from services.orchestrator.handlers.carrying import Carried
from services.orchestrator.ports import Clock
from services.orchestrator.ports.policy import PolicyDoor


class Settling:
    def __init__(self, policy: PolicyDoor, clock: Clock) -> None:
        self._policy = policy
        self._clock = clock

    async def settle(self, carried: Carried, settlements: Sequence[Settlement]) -> None:
        """Settle or give back each. What is closed already stays as it is: then its time was over, or the agent's.

        Raises:
            Unavailable: policy does not answer; safe to repeat.
        """
        if settlements:
            await asyncio.gather(*(self._one(carried, each) for each in settlements))

    async def _one(self, carried: Carried, settlement: Settlement) -> None:
        cause = carried.cause(
            self._clock(), "settle", settlement.reservation_id, "spent" if settlement.spent else "kept"
        )
        try:
            await self._policy.settle(settlement.reservation_id, settlement.spent, cause)
        except (Refused, NotFound):
            return
