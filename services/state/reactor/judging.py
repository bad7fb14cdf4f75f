"""Tells those who wait, and those who watch, what has happened; and judges, about once a second, who gets nowhere."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from chassis.eventlog.codec import Unreadable
from chassis.process import jitter
from chassis.telemetry import get_logger
from kernel.events import Recorded
from kernel.faults import Fault
from services.state.domain.lock import LockForced, LockReleased
from services.state.domain.revocation import AgentRevoked
from services.state.handlers.turns import Turns
from services.state.handlers.vigil import Vigil
from services.state.ports import Clock
from services.state.wire import CODEC

JUDGE_SECONDS = 1.0
_log = get_logger("state.judging")


class Judging:
    """Is fed as the aggregates are, and after them. Until `at_work` nobody waits and nobody is watched."""

    def __init__(self, vigil: Vigil, turns: Turns, clock: Clock) -> None:
        self._vigil = vigil
        self._turns = turns
        self._clock = clock
        self._begun = False

    async def take(self, events: Sequence[Recorded]) -> None:
        if not self._begun:
            return
        for recorded in events:
            try:
                event = CODEC.decode(recorded).event
            except Unreadable:
                continue  # said by whoever keeps the view
            stream = recorded.stream
            if isinstance(event, LockReleased | LockForced | AgentRevoked):
                self._turns.changed((stream.tenant, stream.id))
            self._vigil.told(stream.tenant, event)

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """Inside, those who get nowhere are found; enter it when everything up to now has been followed."""
        self._begun = True
        self._vigil.begin()
        judge = asyncio.create_task(self._judge(), name="judge")
        try:
            yield
        finally:
            judge.cancel()
            await asyncio.wait({judge})

    async def _judge(self) -> None:
        judging: asyncio.Task[None] | None = None
        async with asyncio.TaskGroup() as rounds:
            while True:
                patience = self._vigil.shortest_patience_seconds
                pause = JUDGE_SECONDS if patience is None else min(JUDGE_SECONDS, patience / 4)
                pause += jitter(pause / 5)  # several processes need not come to it at once
                since = self._clock.monotonic()
                await asyncio.sleep(pause)
                # A judgement may have to wait for log and store: this only ever waits for this process.
                self._vigil.heard_nothing(self._clock.monotonic() - since - pause)
                if judging is None or judging.done():
                    judging = rounds.create_task(self._round(), name="round")

    async def _round(self) -> None:
        try:
            await self._vigil.judge()
        except Fault as problem:
            _log.warning("nobody can be judged now", why=problem.text, reason=problem.reason)
        except Exception:  # noqa: BLE001 - whatever it was, who gets stuck next has to be found all the same
            _log.error("judging failed", exc_info=True)
