"""One run, step after step, until it is over; what each thing that goes wrong means for it."""

import logging
from collections.abc import Callable

from kernel.faults import Fault, Refused, Unavailable
from services.orchestrator.domain.budget import Breach, Trouble, breach, of_agent, troubles
from services.orchestrator.domain.lifecycle import Step, next_step
from services.orchestrator.domain.phases import RunState
from services.orchestrator.domain.run import Run
from services.orchestrator.handlers.carrying import AgentNotTaken, Carried, RequiredArtifactMissing
from services.orchestrator.handlers.ending import Ending
from services.orchestrator.handlers.outages import FIRST_PAUSE_SECONDS, Outages, passes
from services.orchestrator.handlers.sharing import Key, SeatedElsewhere
from services.orchestrator.handlers.steps import Steps
from services.orchestrator.handlers.waiting import Waiters
from services.orchestrator.ports import Runs
from services.orchestrator.ports.privacy import Privacy

log = logging.getLogger(__name__)

_LOCK_LOST, _LOCK_TAKEN, _ERASED = "FENCING_TOKEN_STALE", "CANNOT_ACQUIRE_LOCK", "SUBJECT_ERASED"
_AGENT_GONE = frozenset({"AGENT_REVOKED", "AGENT_ALREADY_REVOKED"})
_MOVED_ON = frozenset({"ILLEGAL_TRANSITION", "RUN_ENDED"})
"""What a step comes to when another replica has carried the run on meanwhile."""


class Driving:
    """Drives runs. `revoked` is known of agents, by tenant and id: their runs end before the next step."""

    def __init__(
        self,
        runs: Runs,
        steps: Steps,
        privacy: Privacy,
        waiters: Waiters,
        outages: Outages,
        ending: Ending,
        new_id: Callable[[], str],
    ) -> None:
        self._runs = runs
        self._steps = steps
        self._privacy = privacy
        self._waiters = waiters
        self._outages = outages
        self._ending = ending
        self._new_id = new_id
        self.revoked: dict[Key, Breach] = {}

    async def drive(self, carried: Carried) -> None:
        """Step after step until the run is over.

        Raises:
            SeatedElsewhere: its agent has moved to another replica.
        """
        pause = FIRST_PAUSE_SECONDS
        while True:
            run = self._runs.current(carried.tenant, carried.run_id)
            carried.led_by = self._runs.head(carried.tenant, carried.run_id).event_id
            self._waiters.wake((carried.tenant, carried.run_id))
            if run.over:
                return
            self._require_here(run, carried)
            try:
                run = await self._privacy.opened(carried.tenant, run.known.subject_key, run)
            except Refused:
                await self._ending.erased(run, carried)
                return
            except Unavailable as fault:
                pause = await self._outages.wait(carried, fault, pause)
                continue
            gone = self.revoked.get((carried.tenant, run.agent_id))
            if gone is not None:
                await self._ending.revoked(run, carried, gone)
                return
            trouble = next(
                (each for each in (*troubles(run), *carried.troubles) if each.key not in carried.counted),
                None,
            )
            try:
                if trouble is not None:
                    pause = await self._step(trouble, run, carried, pause)
                    continue
                broken = breach(carried.counts, run.budget)
                if broken is not None:
                    await self._ending.revoke(run, carried, broken)
                    return
                step = next_step(run)
                if step is None:
                    return
                pause = await self._step(step, run, carried, pause)
            except AgentNotTaken as no:
                pause = await self._not_taken(run, carried, no.fault, pause)

    async def _step(self, step: Step | Trouble, run: Run, carried: Carried, pause: float) -> float:
        """Take a step, and see to what went wrong with it; how long to wait the next time, in seconds."""
        try:
            await self._take(step, run, carried)
            carried.refused = None
            return FIRST_PAUSE_SECONDS
        except RequiredArtifactMissing as missing:
            lost = Breach(
                "required_artifact_missing",
                "REQUIRED_ARTIFACT_MISSING",
                f"missing after EXECUTE: {missing}",
            )
            await self._ending.revoke(run, carried, lost)
        except Fault as fault:
            if passes(fault) or (fault.reason in _MOVED_ON and self._moved(carried)):
                return await self._outages.wait(carried, fault, pause)
            await self._trouble(step, run, carried, fault)
        except AgentNotTaken:
            raise
        except Exception:
            log.exception("run %s: step %s failed", carried.run_id, type(step).__name__)
            text = "a bug in the orchestrator; its log has the details"
            await self._ending.end(run, carried, RunState.FAILED, "INTERNAL", text)
        return pause

    async def _take(self, step: Step | Trouble, run: Run, carried: Carried) -> None:
        """Take a step, or count what went wrong with one. When the lock is lost, the agent is taken again instead:
        then comes the same, under the new lock."""
        try:
            if isinstance(step, Trouble):
                await self._count(run, carried, step)
            else:
                await self._steps.take(step, run, carried)
        except Fault as fault:
            if fault.reason != _LOCK_LOST:
                raise
            await self._regain(step, run, carried)

    async def _regain(self, step: Step | Trouble, run: Run, carried: Carried) -> None:
        try:
            await self._outages.insist(lambda: self._steps.regain(run, carried), carried)
        except (AgentNotTaken, SeatedElsewhere):
            if isinstance(step, Trouble) and step.violation:
                # Without a token, whoever has the agent: or to lose the lock would be a way past the budget.
                await self._count_under(0, "0", run, carried, step)
            raise

    def _moved(self, carried: Carried) -> bool:
        """Whether there are events of the run that are not of this step: somebody else goes on with it."""
        return self._runs.head(carried.tenant, carried.run_id).event_id != carried.led_by

    def _require_here(self, run: Run, carried: Carried) -> None:
        if run.has_its_agent and (carried.tenant, run.agent_id) not in self.revoked:
            self._steps.require_here(carried.tenant, run.agent_id)

    async def _trouble(self, step: Step | Trouble, run: Run, carried: Carried, fault: Fault) -> None:
        """A step was refused: what that means for the run. That an error is not counted is none of the agent's."""
        if await self._over(run, carried, fault):
            return
        if of_agent(fault) and not isinstance(step, Trouble):
            carried.troubles.append(Trouble(self._new_id(), fault.reason, fault.text))
        else:
            await self._ending.end(run, carried, RunState.FAILED, fault.reason, fault.text)

    async def _not_taken(self, run: Run, carried: Carried, fault: Fault, pause: float) -> float:
        """It cannot have its agent: to wait for one's turn is no error, nor is any other reason one of the agent's."""
        if fault.reason == _LOCK_TAKEN and (run.phase is not None or self._comes_back(carried.tenant, fault)):
            return await self._outages.wait(carried, fault, pause)
        if not await self._over(run, carried, fault):
            await self._ending.end(run, carried, RunState.FAILED, fault.reason, fault.text)
        return pause

    async def _over(self, run: Run, carried: Carried, fault: Fault) -> bool:
        """Whether the refusal is the end of the run: of its subject, of its agent, or of what has not begun."""
        if fault.reason == _ERASED:
            await self._ending.erased(self._runs.current(carried.tenant, carried.run_id), carried)
        elif fault.reason in _AGENT_GONE:
            gone = Breach("operator", "AGENT_REVOKED", fault.text)
            self.revoked.setdefault((carried.tenant, run.agent_id), gone)
        elif run.phase is None:
            await self._ending.end(run, carried, RunState.REFUSED, fault.reason, fault.text)
        else:
            return False
        return True

    def _comes_back(self, tenant: str, taken: Fault) -> bool:
        """Whether the lock is a run's of ours, which gives it back or lets its lease run out: its process may have
        ended before it began, or the answer that gave it the lock may have been lost, and the run be over."""
        return self._runs.current(tenant, taken.facts.get("holder", "")).started is not None

    async def _count(self, run: Run, carried: Carried, trouble: Trouble) -> None:
        """Before anything else is done. Whose packet it is by now shall not pay for it: it counts when this run has
        the agent.

        Raises:
            FENCING_TOKEN_STALE (Refused): another run has the agent by now.
        """
        token = run.fencing_token
        try:
            # Under the same request when it is told again after a crash.
            await self._count_under(token, "", run, carried, trouble)
        except Fault as fault:
            if fault.reason != _LOCK_LOST:
                raise
            # So it was counted if the lock was lost before the crash, and had again.
            await self._count_under(token, str(token), run, carried, trouble)

    async def _count_under(
        self, token: int, tried: str, run: Run, carried: Carried, trouble: Trouble
    ) -> None:
        await self._outages.insist(lambda: self._steps.count(run, carried, trouble, token, tried), carried)
        carried.counted.add(trouble.key)
