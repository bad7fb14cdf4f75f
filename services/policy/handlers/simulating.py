"""The time machine: history under another set, for whoever asks, and before a set goes live that asks for it."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import timedelta

from kernel.events import Cause
from services.policy.domain.flips import Flip, Simulated, Simulation
from services.policy.domain.policyset_faults import TooManyFlips, TooManySimulations
from services.policy.domain.policyset_rules import Publishing
from services.policy.ports.sets import Simulations

MOST_AT_ONCE = 2
MOST_EXAMPLES = 5


class Simulating:
    def __init__(self, simulations: Simulations) -> None:
        self._simulations = simulations
        self._running = 0
        self._before_sets = asyncio.Semaphore(1)

    async def simulate(self, asked: Simulation) -> AsyncGenerator[Simulated, None]:
        """How far it is, again and again; the last one is `done`. It ends when nobody asks for the next one any more.

        Raises:
            TooManySimulations: two are under way on this replica.
            PolicySetInvalid: with line and column.
            Unavailable: it ended halfway.
        """
        if self._running >= MOST_AT_ONCE:
            raise TooManySimulations(MOST_AT_ONCE)
        self._running += 1
        try:
            async with aclosing(self._simulations.run(asked)) as telling:
                async for each in telling:
                    yield each
        finally:
            self._running -= 1

    async def refuse_flips(self, document: str, publishing: Publishing, cause: Cause) -> None:
        """What the set in force asks of the one that is to replace it.

        Raises:
            TooManyFlips: more decisions come out otherwise than `publishing` lets; it names some.
            PolicySetInvalid, Unavailable: as `simulate`.
        """
        if not publishing.gates or publishing.most_flips is None:
            return
        since = cause.at - timedelta(days=publishing.simulate_days)
        asked = Simulation(cause.tenant, document, from_time=since, max_flips=MOST_EXAMPLES)
        examples: list[Flip] = []
        last: Simulated | None = None
        # A place of its own: who only looks on must not keep a set from being replaced.
        async with self._before_sets, aclosing(self._simulations.run(asked)) as telling:
            async for last in telling:
                examples += last.flips
        if last is not None and last.totals.flips > publishing.most_flips:
            shown = "; ".join(_shown(each) for each in examples)
            raise TooManyFlips(last.totals.flips, publishing.most_flips, publishing.simulate_days, shown)


def _shown(flip: Flip) -> str:
    """Without target and parameters: a fault is logged, and they may be personal."""
    where = f"{flip.action.name} in {flip.action.environment}"
    return f"{flip.agent_id} {where} {flip.before} > {flip.after} ({flip.after_rule}, decision {flip.decision_id})"
