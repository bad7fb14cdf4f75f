"""An agent booked for a run: its seat, its packet, its lock; the lock renewed at every transition, and given back."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from kernel.faults import Conflict, Fault, Refused, Unavailable
from services.orchestrator.domain.faults import NoAgentFree
from services.orchestrator.domain.phases import Phase
from services.orchestrator.domain.records import Packet
from services.orchestrator.domain.run import Run
from services.orchestrator.handlers.carrying import AgentNotTaken, Carried, StepLimits
from services.orchestrator.handlers.outages import passes
from services.orchestrator.handlers.sharing import SeatedElsewhere
from services.orchestrator.ports import Clock
from services.orchestrator.ports.crew import Crew
from services.orchestrator.ports.privacy import Privacy
from services.orchestrator.ports.state import StateDoor

log = logging.getLogger(__name__)

T = TypeVar("T")
_NO_PACKET, _LOCK_LOST = "NO_INSTRUCTION_PACKET", "FENCING_TOKEN_STALE"


class Booking:
    """One run has an agent to itself; nobody else has it meanwhile."""

    def __init__(
        self,
        state: StateDoor,
        crew: Crew,
        privacy: Privacy,
        clock: Clock,
        limits: StepLimits,
        new_id: Callable[[], str],
    ) -> None:
        self._state = state
        self._crew = crew
        self._privacy = privacy
        self._clock = clock
        self._limits = limits
        self._new_id = new_id

    async def find(self, carried: Carried) -> str:
        """An agent of the crew that is free, booked for this run.

        Raises:
            NoAgentFree: nobody of the tenant's crew is there, and nobody came.
        """
        clock = asyncio.get_running_loop().time
        seen = clock()
        while not (agent_id := self._crew.reserve_any(carried.tenant, carried.run_id)):
            if self._crew.elsewhere(carried.tenant, "") and not self._crew.present(carried.tenant):
                raise SeatedElsewhere
            if self._crew.present(carried.tenant):
                seen = clock()  # all are busy: one will be free
            elif clock() - seen >= self._limits.crew_seconds:
                raise NoAgentFree(
                    f"no built-in agent of tenant {carried.tenant} is attached and not suspended: name or resume one"
                )
            await self._crew.freed(1.0)
        return agent_id

    def require_here(self, tenant: str, agent_id: str) -> None:
        """Raises SeatedElsewhere: the agent is attached to another replica, and not here."""
        if agent_id and not self._crew.seated(tenant, agent_id) and self._crew.elsewhere(tenant, agent_id):
            raise SeatedElsewhere

    async def take(self, run: Run, carried: Carried) -> int:
        """Have the agent to ourselves: its seat, its packet, its lock. The fencing token.

        Each time anew: what was had and lost again is not had under the same request.

        Raises:
            AgentNotTaken: it cannot be had. Fault: not now.
        """
        try:
            return await self._take(run, carried)
        except Fault as refused:
            if passes(refused):
                raise
            raise AgentNotTaken(refused) from refused

    async def _take(self, run: Run, carried: Carried) -> int:
        while not self._crew.reserve(carried.tenant, run.agent_id, carried.run_id):
            self.require_here(carried.tenant, run.agent_id)
            await self._attached(run, carried)
            if carried.nudge.is_set():
                carried.nudge.clear()
                raise Unavailable("NO_AGENT_FREE", f"agent {run.agent_id} is busy or not attached")
        packet = run.known.packet
        if packet is None:
            packet = await self._held(run, carried)
        packet = await self._privacy.sealed(carried.tenant, run.known.subject_key, _addressed(packet, run))
        why = self._new_id()
        try:
            carried.known_sequence = await self._state.issue_packet(
                packet, carried.cause(self._clock(), "packet", why)
            )
            return await self._state.acquire_lock(
                run.agent_id,
                run.known.task_id,
                carried.run_id,
                self._limits.lease_seconds,
                carried.cause(self._clock(), "lock", why),
            )
        except Conflict:
            # Whoever has the lock may need the seat to go on.
            self._crew.release(carried.tenant, run.agent_id, carried.run_id)
            raise
        except Refused as refused:
            if refused.reason == _NO_PACKET:
                # Another process, which may be gone by now, has issued one of its own behind ours.
                text = f"agent {run.agent_id} was given another packet meanwhile"
                raise Unavailable("NO_AGENT_FREE", text) from refused
            raise

    async def _attached(self, run: Run, carried: Carried) -> None:
        """Wait a moment for the agent to be free. One that is attached nowhere is not waited for longer than a crew,
        unless the run has begun: it may have had effects, and goes on when its agent is back.

        Raises:
            NoAgentFree: the agent did not come.
        """
        clock = asyncio.get_running_loop().time
        before = clock()
        await self._crew.freed(min(1.0, self._limits.crew_seconds))
        tenant, agent_id = carried.tenant, run.agent_id
        if self._crew.seated(tenant, agent_id) or self._crew.elsewhere(tenant, agent_id):
            carried.absent_seconds = 0.0
            return
        if not carried.absent_seconds:
            log.warning("run %s waits: agent %s is attached nowhere", carried.run_id, agent_id)
        carried.absent_seconds += clock() - before
        if run.phase is None and carried.absent_seconds >= self._limits.crew_seconds:
            raise NoAgentFree(
                f"agent {agent_id} is attached nowhere, and did not come within {self._limits.crew_seconds:g} s: "
                "start it, or name another"
            )

    async def _held(self, run: Run, carried: Carried) -> Packet:
        """The packet of a run that came without one: what its agent held when it began, and no other's afterwards."""
        cause = carried.cause(self._clock(), "packet", "read")
        if run.phase is None:
            packet = await self._state.packet_of(run.agent_id, cause)
            text = f"agent {run.agent_id} has no instruction packet; send one with the run"
        else:
            # Runs that had the agent meanwhile have given it theirs; ours was issued for our task, and state kept it.
            packet = await self._state.packet_for(run.agent_id, run.known.task_id, cause)
            text = f"agent {run.agent_id} has other packets, and this run's is not at hand: send one with the run"
        if packet is None:
            raise Refused(_NO_PACKET, text)
        return packet

    async def advance(self, run: Run, carried: Carried, phase: Phase, token: int) -> None:
        """Every transition: heartbeat, renewed lock, position; the conductor then looks at the budget."""
        carried.counts = await self._state.advance(
            run.agent_id,
            run.known.task_id,
            carried.run_id,
            phase,
            token,
            self._limits.lease_seconds,
            carried.cause(self._clock(), "advance", phase, str(token)),
        )

    async def let_go(self, run: Run, carried: Carried) -> None:
        """While people think, the agent is free for other work; its lock is taken anew afterwards."""
        await self._state.release_lock(
            run.agent_id,
            run.known.task_id,
            carried.run_id,
            run.fencing_token,
            carried.cause(self._clock(), "release", str(run.fencing_token)),
        )
        self._crew.release(carried.tenant, run.agent_id, carried.run_id)

    async def wait(self, run: Run, carried: Carried, approval_ids: tuple[str, ...]) -> None:
        """Let the agent go, and say what its run waits for until the agent is taken again."""
        more = f" and {len(approval_ids) - 1} more" if len(approval_ids) > 1 else ""
        try:
            await self.let_go(run, carried)
            await self._state.waits(
                run.agent_id,
                run.known.task_id,
                carried.run_id,
                approval_ids[0] + more,
                run.fencing_token,
                carried.cause(self._clock(), "waits", str(run.fencing_token)),
            )
        except Fault as fault:
            if fault.reason != _LOCK_LOST:
                raise
            # Somebody has taken it away, and speaks for the agent by now: there is nothing to give back, nor to say.
            self._crew.release(carried.tenant, run.agent_id, carried.run_id)

    async def during(self, run: Run, carried: Carried, what: str, work: Coroutine[Any, Any, T]) -> T:
        """What comes of `work`, which is done elsewhere; if it takes long, state knows that the agent waits for it."""
        doing = asyncio.ensure_future(work)
        try:
            if (await asyncio.wait({doing}, timeout=self._limits.quick_seconds))[0]:
                return await doing
            until = self._clock() + timedelta(seconds=self._limits.effect_seconds)
            await self._say(run, carried, what, until)
            done = await doing
            await self._say(run, carried, "", None)
            return done
        finally:
            doing.cancel()
            await asyncio.wait({doing})  # whoever ends a run may take it that nothing of it goes on

    async def _say(self, run: Run, carried: Carried, what: str, until: datetime | None) -> None:
        with suppress(Fault):  # no word of it is worth what is being done
            at = self._clock()
            cause = carried.cause(at, "waits", what, at.isoformat())
            await self._state.waits(
                run.agent_id, run.known.task_id, carried.run_id, what, run.fencing_token, cause, until
            )


def _addressed(packet: Packet, run: Run) -> Packet:
    return replace(
        packet,
        agent_id=run.agent_id,
        task_id=run.known.task_id,
        created_at=packet.created_at or run.known.at,
    )
