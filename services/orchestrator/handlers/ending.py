"""How a run ends that does not end well: its agent revoked, its subject erased, or a step it cannot take."""

from kernel.faults import Fault
from services.orchestrator.domain import wants
from services.orchestrator.domain.budget import Breach
from services.orchestrator.domain.outcome import handoff_of, outcome_of
from services.orchestrator.domain.phases import RunState
from services.orchestrator.domain.run import Run
from services.orchestrator.handlers.carrying import Carried
from services.orchestrator.handlers.outages import Outages
from services.orchestrator.handlers.steps import Steps
from services.orchestrator.ports import Clock
from services.orchestrator.ports.policy import PolicyDoor
from services.orchestrator.ports.privacy import Privacy
from services.orchestrator.ports.state import StateDoor

_LOCK_LOST, _ERASED = "FENCING_TOKEN_STALE", "SUBJECT_ERASED"


class Ending:
    """Whatever is away meanwhile, the end is recorded."""

    def __init__(
        self,
        steps: Steps,
        policy: PolicyDoor,
        state: StateDoor,
        privacy: Privacy,
        outages: Outages,
        clock: Clock,
    ) -> None:
        self._steps = steps
        self._policy = policy
        self._state = state
        self._privacy = privacy
        self._outages = outages
        self._clock = clock

    async def revoke(self, run: Run, carried: Carried, broken: Breach) -> None:
        """Take the agent's power away, then end the run."""
        carried.ended.set()
        cause = self._steps.cause(carried, "revoke")
        await self._outages.insist(
            lambda: self._policy.revoke(run.agent_id, broken.kind, broken.details, cause), carried
        )
        await self.revoked(run, carried, broken)

    async def revoked(self, run: Run, carried: Carried, why: Breach) -> None:
        """Leave a handoff and end. The revoked get no grace, the next agent gets what is known."""
        carried.ended.set()
        if run.phase is None:
            named = why.details.startswith((f"agent {run.agent_id} ", f"agent {run.agent_id!r} "))
            said = why.details if named else f"agent {run.agent_id} was revoked: {why.details}"
            await self.end(run, carried, RunState.REFUSED, "AGENT_PREVIOUSLY_REVOKED", said)
            return
        handoff = handoff_of(run, why.kind, why.details)
        handoff = await self._privacy.sealed(carried.tenant, run.known.subject_key, handoff)
        cause = self._steps.cause(carried, "handoff")
        await self._outages.insist(lambda: self._state.write_handoff(handoff, cause), carried)
        await self.end(run, carried, RunState.REVOKED, why.reason, f"{why.details}; {outcome_of(run)}")

    async def erased(self, run: Run, carried: Carried) -> None:
        """Nobody can read any more what the run is about. This is said in the clear: there is no key to seal it."""
        text = "the subject was erased: nobody can read any more what this run was about"
        await self.end(run, carried, RunState.FAILED, _ERASED, text)

    async def end(self, run: Run, carried: Carried, state: RunState, reason: str, outcome: str) -> None:
        """Give back what was set aside and the lock, wait for nothing any more, and say how it ended."""
        carried.ended.set()
        command = wants.EndRun(state, reason, outcome, False, self._clock())
        await self._outages.insist(lambda: self._steps.settle(run, carried), carried)
        if run.fencing_token and state is not RunState.REVOKED:  # a revoked agent's lock is taken by state
            await self._outages.insist(lambda: self._release(run, carried), carried)
        if run.state is RunState.WAITING:
            why = self._steps.cause(carried, "waits", "no more")
            task_id, token = run.known.task_id, run.fencing_token
            await self._outages.insist(
                lambda: self._state.waits(run.agent_id, task_id, carried.run_id, "", token, why), carried
            )
        await self._outages.insist(lambda: self._steps.append(carried, command, "end"), carried)

    async def _release(self, run: Run, carried: Carried) -> None:
        cause = self._steps.cause(carried, "release", str(run.fencing_token))
        token = run.fencing_token
        try:
            await self._state.release_lock(run.agent_id, run.known.task_id, carried.run_id, token, cause)
        except Fault as fault:
            if fault.reason != _LOCK_LOST:
                raise  # else somebody has taken it away, and it need not be given back
