"""Carries runs: takes step after step, waits when a peer is away, counts what goes wrong, ends what must end.

A run needs nobody's memory: `resume` after a restart goes on where its events end.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

from kernel.faults import Fault, Refused, Unavailable
from services.orchestrator.domain import wants
from services.orchestrator.domain.budget import Breach, breach
from services.orchestrator.domain.lifecycle import next_step
from services.orchestrator.domain.outcome import handoff_of, outcome_of
from services.orchestrator.domain.phases import RunState
from services.orchestrator.domain.run import Run
from services.orchestrator.handlers.carrying import Carried, RequiredArtifactMissing, Violation
from services.orchestrator.handlers.crew import AttachedCrew
from services.orchestrator.handlers.sharing import Said, SeatedElsewhere, Sharing
from services.orchestrator.handlers.steps import Steps
from services.orchestrator.ports import Clock, Runs
from services.orchestrator.ports.policy import PolicyDoor
from services.orchestrator.ports.privacy import Privacy
from services.orchestrator.ports.state import StateDoor

log = logging.getLogger(__name__)

_LOCK_LOST, _ERASED = "FENCING_TOKEN_STALE", "SUBJECT_ERASED"
_AGENT_GONE = frozenset({"AGENT_REVOKED", "AGENT_ALREADY_REVOKED"})
_FOR_PEOPLE = frozenset({"STREAM_REGRESSION"})
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.02, 1.0
_MOST_EXPECTED = 10_000


class Conductor:
    """One task per run that is not over."""

    def __init__(
        self,
        runs: Runs,
        steps: Steps,
        policy: PolicyDoor,
        state: StateDoor,
        crew: AttachedCrew,
        privacy: Privacy,
        clock: Clock,
        new_id: Callable[[], str],
        sharing: Sharing | None = None,
    ) -> None:
        self._runs = runs
        self._steps = steps
        self._policy = policy
        self._state = state
        self._crew = crew
        self._privacy = privacy
        self._clock = clock
        self._new_id = new_id
        self._carried: dict[tuple[str, str], tuple[Carried, asyncio.Task[None]]] = {}
        self._settled: dict[tuple[str, str], asyncio.Event] = {}
        self._revoked: dict[tuple[str, str], Breach] = {}
        self._expected: dict[tuple[str, str], None] = {}
        self._sharing = sharing or Sharing("", lambda: 0.0)
        self._open: dict[tuple[str, str], None] = {}
        self._bound: dict[tuple[str, str], str] = {}
        crew.elsewhere, crew.bound = self._sharing.elsewhere, self._bound_to
        self.stopping = False

    def carry(self, tenant: str, run_id: str, log_text: str | None = None) -> None:
        """Begin to carry a run, or nudge it if it is being carried."""
        known = self._carried.get((tenant, run_id))
        if known is not None:
            known[0].nudge.set()
            return
        if self._sharing.claimed((tenant, run_id)):
            return  # another replica has it, and this one hears how it ends
        self._sharing.settled((tenant, run_id))
        carried = Carried(tenant, run_id, log_text=log_text)
        task = asyncio.create_task(self._carry(carried), name=f"run {run_id}")
        self._carried[tenant, run_id] = (carried, task)

    def expect(self, tenant: str, run_id: str) -> None:
        """A run whose beginning may be in the log though nobody was told so: carried as soon as it shows."""
        self._expected[tenant, run_id] = None
        if len(self._expected) > _MOST_EXPECTED:
            del self._expected[next(iter(self._expected))]
        self.begun(tenant, run_id)

    def begun(self, tenant: str, run_id: str) -> None:
        """Called when a run has begun; those that somebody here began without an answer are carried."""
        if (tenant, run_id) in self._expected and self._runs.current(tenant, run_id).started is not None:
            del self._expected[tenant, run_id]
            run = self._runs.current(tenant, run_id)
            if not run.over:
                self._adopt((tenant, run_id), run)

    def resume(self) -> int:
        """Carry on every run that is not over and nobody else carries; how many are not over."""
        for tenant in self._runs.tenants():
            for run_id, run in self._runs.all(tenant):
                if not run.over:
                    self.noted(tenant, run_id)
        self.share()
        return len(self._open)

    def noted(self, tenant: str, run_id: str) -> None:
        """Called when something was recorded of a run, here or by another replica."""
        key = (tenant, run_id)
        try:
            run = self._runs.current(*key)
        except Unavailable:
            return  # an event of it cannot be read: it is for nobody to carry until it can
        if run.over:
            self._open.pop(key, None)
            self._sharing.settled(key)
        else:
            self._open[key] = None
        if run.agent_id:
            agent = (tenant, run.agent_id)
            if has_its_agent(run):
                self._bound[agent] = run_id
            elif self._bound.get(agent) == run_id:
                del self._bound[agent]
        self._wake_waiters(key)

    def share(self) -> None:
        """Say what is carried here, and take on what nobody carries and this replica should."""
        mine = self._said()
        self._sharing.say(mine)
        if self.stopping:
            return
        for key in list(self._open):
            try:
                run = self._runs.current(*key)
            except Unavailable:
                continue
            if run.over:
                self._open.pop(key, None)
            elif key in self._carried:
                self._give_up_twin(key, run, mine)
            elif (
                self._sharing.free(key) and self._sharing.chosen(key, run.agent_id, mine) == self._sharing.me
            ):
                self._adopt(key, run)
        if self._sharing.crowded(mine):
            self._crew.dismiss_one()

    def given(self, tenant: str, run_id: str) -> None:
        """Another replica has given a run to this one."""
        self._sharing.given((tenant, run_id))
        self.expect(tenant, run_id)

    def _said(self) -> Said:
        crews = self._crew.crews
        runs = frozenset(key for key, (_, task) in self._carried.items() if not task.done())
        return Said(self._crew.seats, frozenset(crews), runs, sum(crews.values()))

    def _adopt(self, key: tuple[str, str], run: Run) -> None:
        if has_its_agent(run):
            self._crew.hold(key[0], run.agent_id, key[1])
        self.carry(*key)

    def _give_up_twin(self, key: tuple[str, str], run: Run, mine: Said) -> None:
        """Two carry it: one of them lets go, and both know which."""
        if self._sharing.claimed(key) and self._sharing.chosen(key, run.agent_id, mine) != self._sharing.me:
            carried, task = self._carried[key]
            if not carried.ending:
                self._let_go(carried, run)
                task.cancel()

    def _let_go(self, carried: Carried, run: Run) -> None:
        self._carried.pop((carried.tenant, carried.run_id), None)
        self._crew.release(carried.tenant, run.agent_id, carried.run_id)

    def _give_away(self, carried: Carried) -> bool:
        """The agent is at another replica, and so shall the run be."""
        key = (carried.tenant, carried.run_id)
        run = self._runs.current(*key)
        if not self._sharing.give(key, run.agent_id, self._said()):
            return False
        self._let_go(carried, run)
        self._sharing.say(self._said())
        return True

    def _require_here(self, carried: Carried, run: Run) -> None:
        """Raises SeatedElsewhere: its agent has moved to another replica."""
        if has_its_agent(run):
            self._steps.require_here(carried.tenant, run.agent_id)

    def _bound_to(self, tenant: str, agent_id: str) -> str:
        run_id = self._bound.get((tenant, agent_id), "")
        try:
            return run_id if run_id and has_its_agent(self._runs.current(tenant, run_id)) else ""
        except Unavailable:
            return run_id

    def nudge(self, tenant: str, run_id: str) -> None:
        """Something a run may wait for has happened."""
        known = self._carried.get((tenant, run_id))
        if known is not None:
            known[0].nudge.set()

    def agent_suspended(self, tenant: str, agent_id: str, suspended: bool) -> None:
        """An agent was suspended, or resumed."""
        self._crew.suspend(tenant, agent_id, suspended)

    def agent_revoked(self, tenant: str, agent_id: str, kind: str, details: str) -> None:
        """The agent has no power any more: its stream ends, its runs end, now."""
        reason = "PROCEDURE_VIOLATION" if kind == "procedure_violation" else "AGENT_REVOKED"
        self._revoked.setdefault((tenant, agent_id), Breach(kind, reason, details))
        self._crew.expel(tenant, agent_id, Unavailable("AGENT_REVOKED", f"agent {agent_id} was revoked"))
        for (run_tenant, run_id), (carried, task) in list(self._carried.items()):
            if (
                run_tenant == tenant
                and self._runs.current(tenant, run_id).agent_id == agent_id
                and not carried.ending
            ):
                task.cancel()

    @property
    def surfaces(self) -> Mapping[str, Callable[[str, str], Awaitable[int]]]:
        """What is held here of agents' power, and what waits until it is gone (tenant, agent_id)."""
        return {"runs": self.runs_of_revoked, "streams": self.streams_of_revoked}

    async def runs_of_revoked(self, tenant: str, agent_id: str) -> int:
        """Wait until no run of a revoked agent does anything any more but record its end; how many those were."""
        if (tenant, agent_id) not in self._revoked:
            raise RuntimeError(f"the revocation of {agent_id} has not been heeded")
        theirs = [
            carried
            for key, (carried, _) in self._carried.items()
            if key[0] == tenant and self._runs.current(*key).agent_id == agent_id
        ]
        for carried in theirs:
            await carried.ended.wait()
        return len(theirs)

    async def streams_of_revoked(self, tenant: str, agent_id: str) -> int:
        """How many streams of a revoked agent were ended here: nothing more is heard from it."""
        return self._crew.streams_ended(tenant, agent_id)

    def subject_erased(self, tenant: str, key_id: str) -> None:
        """The key is gone: what was held in the clear goes, and runs that are still at it end, now."""
        self._privacy.forget(tenant, key_id)
        for (run_tenant, run_id), (carried, task) in list(self._carried.items()):
            started = self._runs.current(run_tenant, run_id).started
            if run_tenant == tenant and started is not None and started.subject_key == key_id:
                carried.log_text = None
                if not carried.ending:
                    task.cancel()

    def let_waiters_go(self) -> None:
        """Nobody waits here for a run any more: this process is about to stop, and another will know how it ended."""
        self.stopping = True
        for event in self._settled.values():
            event.set()

    async def settled(self, tenant: str, run_id: str, timeout_seconds: float) -> bool:
        """Wait until a run is over or waits for a person; False if it took too long, this process stops, or nothing
        can be written (see `refused`)."""
        event = self._settled.setdefault((tenant, run_id), asyncio.Event())
        if self._rests(tenant, run_id):
            return True
        if not self.stopping:
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout_seconds):
                    await event.wait()
        return self._rests(tenant, run_id)

    def refused(self, tenant: str, run_id: str) -> Unavailable | None:
        """Why a run cannot go on until people have mended the log; None when nothing of the kind is known."""
        known = self._carried.get((tenant, run_id))
        return known[0].refused if known is not None else None

    async def close(self) -> None:
        """Stop carrying. Nothing is lost: what is not over is carried on after the next start."""
        tasks = [task for _, task in self._carried.values()]
        self._carried.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _rests(self, tenant: str, run_id: str) -> bool:
        run = self._runs.current(tenant, run_id)
        return run.over or run.state is RunState.WAITING

    def _wake_waiters(self, key: tuple[str, str]) -> None:
        event = self._settled.get(key)
        if event is not None and self._rests(*key):
            event.set()
            del self._settled[key]

    async def _carry(self, carried: Carried) -> None:
        key = (carried.tenant, carried.run_id)
        try:
            while not self._runs.current(*key).over:
                try:
                    await self._go_on(carried)
                except SeatedElsewhere:
                    if self._give_away(carried):
                        return
                    await asyncio.sleep(_FIRST_PAUSE_SECONDS)
                except asyncio.CancelledError:
                    if self._carried.get(key, (None,))[0] is not carried:
                        raise
                    task = asyncio.current_task()
                    if task is not None:
                        task.uncancel()
                except Exception:
                    log.exception("run %s cannot go on yet", carried.run_id)
                    await asyncio.sleep(_LONGEST_PAUSE_SECONDS)
        finally:
            run = self._runs.current(*key)
            if run.over:
                self._crew.release(carried.tenant, run.agent_id, carried.run_id)
                if self._carried.get(key, (None,))[0] is carried:
                    self._carried.pop(key, None)
            self._wake_waiters((carried.tenant, carried.run_id))

    async def _go_on(self, carried: Carried) -> None:
        """Step after step until the run is over."""
        pause = _FIRST_PAUSE_SECONDS
        while True:
            run = self._runs.current(carried.tenant, carried.run_id)
            carried.led_by = self._runs.head(carried.tenant, carried.run_id).event_id
            self._wake_waiters((carried.tenant, carried.run_id))
            if run.over:
                return
            self._require_here(carried, run)
            try:
                run = await self._privacy.opened(carried.tenant, run.known.subject_key, run)
            except Refused:
                await self._end_erased(run, carried)
                return
            except Unavailable as fault:
                pause = await self._wait(carried, fault, pause)
                continue
            gone = self._revoked.get((carried.tenant, run.agent_id))
            if gone is not None:
                await self._end_revoked(run, carried, gone)
                return
            broken = breach(carried.counts, run.budget)
            if broken is not None:
                await self._revoke(run, carried, broken)
                return
            step = next_step(run)
            if step is None:
                return
            try:
                await self._steps.take(step, run, carried)
                carried.refused = None
                pause = _FIRST_PAUSE_SECONDS
            except Unavailable as fault:
                pause = await self._wait(carried, fault, pause)
            except Violation as violation:
                for decision in violation.decisions:
                    await self._count(run, carried, decision.reason, decision.explanation, True)
            except RequiredArtifactMissing as missing:
                lost = Breach(
                    "required_artifact_missing",
                    "REQUIRED_ARTIFACT_MISSING",
                    f"missing after EXECUTE: {missing}",
                )
                await self._revoke(run, carried, lost)
                return
            except Fault as fault:
                await self._trouble(run, carried, fault)
            except Exception:
                log.exception("run %s: step %s failed", carried.run_id, type(step).__name__)
                await self._end(
                    run,
                    carried,
                    RunState.FAILED,
                    "INTERNAL",
                    "a bug in the orchestrator; its log has the details",
                )
                return

    async def _trouble(self, run: Run, carried: Carried, fault: Fault) -> None:
        """A step was refused: what that means for the run."""
        if fault.reason == _LOCK_LOST:
            await self._insist(lambda: self._steps.regain(run, carried), carried)
        elif fault.reason == _ERASED:
            await self._end_erased(self._runs.current(carried.tenant, carried.run_id), carried)
        elif fault.reason in _AGENT_GONE:
            self._revoked.setdefault(
                (carried.tenant, run.agent_id), Breach("operator", "AGENT_REVOKED", fault.text)
            )
        elif run.phase is None:
            await self._end(run, carried, RunState.REFUSED, fault.reason, fault.text)
        else:
            await self._count(run, carried, fault.reason, fault.text, False)

    async def _count(
        self, run: Run, carried: Carried, error_type: str, message: str, violation: bool
    ) -> None:
        key = self._new_id()
        await self._insist(
            lambda: self._steps.count(run, carried, error_type, message, violation, key), carried
        )

    async def _revoke(self, run: Run, carried: Carried, broken: Breach) -> None:
        """Take the agent's power away, then end the run."""
        carried.ended.set()
        cause = self._steps.cause(carried, "revoke")
        await self._insist(
            lambda: self._policy.revoke(run.agent_id, broken.kind, broken.details, cause), carried
        )
        await self._end_revoked(run, carried, broken)

    async def _end_revoked(self, run: Run, carried: Carried, why: Breach) -> None:
        """Leave a handoff and end. The revoked get no grace, the next agent gets what is known."""
        carried.ended.set()
        if run.phase is None:
            await self._end(run, carried, RunState.REFUSED, "AGENT_PREVIOUSLY_REVOKED", why.details)
            return
        handoff = handoff_of(run, why.kind, why.details)
        handoff = await self._privacy.sealed(carried.tenant, run.known.subject_key, handoff)
        cause = self._steps.cause(carried, "handoff")
        await self._insist(lambda: self._state.write_handoff(handoff, cause), carried)
        await self._end(run, carried, RunState.REVOKED, why.reason, f"{why.details}; {outcome_of(run)}")

    async def _end_erased(self, run: Run, carried: Carried) -> None:
        """Nobody can read any more what the run is about. This is said in the clear: there is no key to seal it."""
        text = "the subject was erased: nobody can read any more what this run was about"
        await self._end(run, carried, RunState.FAILED, _ERASED, text)

    async def _end(self, run: Run, carried: Carried, state: RunState, reason: str, outcome: str) -> None:
        carried.ended.set()
        command = wants.EndRun(state, reason, outcome, False, self._clock())
        await self._insist(lambda: self._steps.settle(run, carried), carried)
        if (
            run.fencing_token and state is not RunState.REVOKED
        ):  # the lock of a revoked agent is taken by state
            await self._insist(lambda: self._release(run, carried), carried)
        if run.state is RunState.WAITING:
            why = self._steps.cause(carried, "waits", "no more")
            await self._insist(
                lambda: self._state.waits(run.agent_id, run.known.task_id, carried.run_id, "", why), carried
            )
        await self._insist(lambda: self._steps.append(carried, command, "end"), carried)

    async def _release(self, run: Run, carried: Carried) -> None:
        cause = self._steps.cause(carried, "release", str(run.fencing_token))
        token = run.fencing_token
        try:
            await self._state.release_lock(run.agent_id, run.known.task_id, carried.run_id, token, cause)
        except Fault as fault:
            if fault.reason != _LOCK_LOST:
                raise  # else somebody has taken it away, and it need not be given back

    async def _insist(self, attempt: Callable[[], Awaitable[None]], carried: Carried) -> None:
        """Until it is done: what must be recorded is recorded, however long a peer is away."""
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                await attempt()
                carried.refused = None
                return
            except Unavailable as fault:
                pause = await self._wait(carried, fault, pause)

    async def _wait(self, carried: Carried, fault: Unavailable, pause: float) -> float:
        """Wait for what is away; how long to wait the next time."""
        log.warning("run %s waits: %s (%s)", carried.run_id, fault.text, fault.reason)
        carried.refused = fault if fault.reason in _FOR_PEOPLE else None
        waiters = self._settled.pop((carried.tenant, carried.run_id), None) if carried.refused else None
        if waiters is not None:
            waiters.set()
        await asyncio.sleep(pause)
        return min(pause * 2, _LONGEST_PAUSE_SECONDS)


def has_its_agent(run: Run) -> bool:
    """Whether an agent is at work for it, and for no other run."""
    return bool(run.agent_id) and not run.over and run.phase is not None and run.state is not RunState.WAITING
