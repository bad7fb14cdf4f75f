"""Carries runs: a task for each, and what happens outside that a run must hear of.

A run needs nobody's memory: `resume` after a restart goes on where its events end.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping

from kernel.faults import Fault, Unavailable
from services.orchestrator.domain.budget import Breach
from services.orchestrator.domain.phases import RunState
from services.orchestrator.domain.run import Run
from services.orchestrator.handlers.answers import Answers
from services.orchestrator.handlers.carrying import Carried, InHand
from services.orchestrator.handlers.crew import AttachedCrew
from services.orchestrator.handlers.driving import Driving
from services.orchestrator.handlers.ending import Ending
from services.orchestrator.handlers.outages import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, Outages
from services.orchestrator.handlers.placement import Placement
from services.orchestrator.handlers.sharing import Key, SeatedElsewhere, Sharing
from services.orchestrator.handlers.steps import Steps
from services.orchestrator.handlers.waiting import Waiters
from services.orchestrator.ports import Clock, Runs
from services.orchestrator.ports.policy import PolicyDoor
from services.orchestrator.ports.privacy import Privacy
from services.orchestrator.ports.state import StateDoor

log = logging.getLogger(__name__)

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
        self._crew = crew
        self._privacy = privacy
        self._carried: InHand = {}
        self._expected: dict[Key, None] = {}
        self._fell: dict[tuple[str, str], set[str]] = {}
        """By tenant and agent: the runs that were carried here when its revocation came."""
        self._sharing = sharing or Sharing("", lambda: 0.0)
        self._placement = Placement(runs, crew, self._sharing, self._carried, self.carry)
        self._waiters = Waiters(runs)
        self._answers = Answers()
        outages = Outages(self._waiters)
        ending = Ending(steps, policy, state, privacy, outages, clock)
        self._driving = Driving(runs, steps, privacy, self._waiters, outages, ending, new_id)

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
        run = self._read((tenant, run_id)) if (tenant, run_id) in self._expected else None
        if run is not None and run.started is not None:
            del self._expected[tenant, run_id]
            if not run.over:
                self._placement.adopt((tenant, run_id), run)

    def resume(self) -> int:
        """Carry on every run that is not over and nobody else carries; how many are not over."""
        for tenant in self._runs.tenants():
            for run_id, ended in self._runs.endings(tenant):
                if not ended:
                    self.noted(tenant, run_id)
        self.share()
        return self._placement.open

    def noted(self, tenant: str, run_id: str) -> None:
        """Called when something was recorded of a run, here or by another replica."""
        key = (tenant, run_id)
        if self._answers.of(key):
            self._answers.noted(key, self._read(key))
        if self._placement.noted(key):
            self._waiters.wake(key)
        elif key in self._carried:
            self._carried[key][1].cancel()  # nothing is done for what nobody here can read any more

    def share(self) -> None:
        """Say what is carried here, and take on what nobody carries and this replica should."""
        self._placement.share(self.stopping)

    def given(self, tenant: str, run_id: str) -> None:
        """Another replica has given a run to this one."""
        self._sharing.given((tenant, run_id))
        self.expect(tenant, run_id)

    def nudge(self, tenant: str, run_id: str) -> None:
        """Something a run may wait for has happened."""
        known = self._carried.get((tenant, run_id))
        if known is not None:
            known[0].nudge.set()

    def answered(self, tenant: str, run_id: str, approval_id: str) -> None:
        """People have answered one of a run's approvals."""
        self._answers.heard((tenant, run_id), self._read((tenant, run_id)), approval_id)
        self.nudge(tenant, run_id)

    def answered_of(self, tenant: str, run_id: str) -> frozenset[str]:
        """The approvals that a run need not wait for any more, though it waits."""
        return self._answers.of((tenant, run_id))

    def agent_suspended(self, tenant: str, agent_id: str, suspended: bool) -> None:
        """An agent was suspended, or resumed."""
        self._crew.suspend(tenant, agent_id, suspended)
        self.agent_weakened(tenant, agent_id)

    def agent_weakened(self, tenant: str, agent_id: str) -> None:
        """It may do less than it could: policy is asked anew about all that it was permitted before."""
        for carried, _ in self._in_hand(tenant, lambda run: run.agent_id == agent_id):
            carried.permits = {}

    def agent_revoked(self, tenant: str, agent_id: str, kind: str, details: str) -> None:
        """The agent has no power any more: its stream ends, its runs end, now."""
        reason = "PROCEDURE_VIOLATION" if kind == "procedure_violation" else "AGENT_REVOKED"
        self._driving.revoked.setdefault((tenant, agent_id), Breach(kind, reason, details))
        self._crew.expel(tenant, agent_id, Unavailable("AGENT_REVOKED", f"agent {agent_id} was revoked"))
        fell = self._fell.setdefault((tenant, agent_id), set())
        for carried, task in self._in_hand(tenant, lambda run: run.agent_id == agent_id):
            if self._read((tenant, carried.run_id)) is not None:
                fell.add(carried.run_id)
            if not carried.ending:
                task.cancel()

    @property
    def surfaces(self) -> Mapping[str, Callable[[str, str], Awaitable[int]]]:
        """What is held here of agents' power, and what waits until it is gone (tenant, agent_id)."""
        return {"runs": self.runs_of_revoked, "streams": self.streams_of_revoked}

    async def runs_of_revoked(self, tenant: str, agent_id: str) -> int:
        """Wait until no run of a revoked agent does anything any more but record its end; how many those were.

        Neither one that had come to its own end in that moment is one of them, nor one that cannot be read.
        """
        if (tenant, agent_id) not in self._driving.revoked:
            raise RuntimeError(f"the revocation of {agent_id} has not been heeded")
        theirs = [carried for carried, _ in self._in_hand(tenant, lambda run: run.agent_id == agent_id)]
        for carried in theirs:
            await carried.ended.wait()
        # Some may have been over before anybody asked.
        fell = self._fell.get((tenant, agent_id), set()).union(each.run_id for each in theirs)
        return sum(self._taken_away(tenant, run_id) for run_id in fell)

    def _taken_away(self, tenant: str, run_id: str) -> bool:
        run = self._read((tenant, run_id))
        return run is not None and run.state not in (RunState.COMPLETED, RunState.FAILED)

    async def streams_of_revoked(self, tenant: str, agent_id: str) -> int:
        """How many streams of a revoked agent were ended here: nothing more is heard from it."""
        return self._crew.streams_ended(tenant, agent_id)

    def subject_erased(self, tenant: str, key_id: str) -> None:
        """The key is gone: what was held in the clear goes, and runs that are still at it end, now."""
        self._privacy.forget(tenant, key_id)

        def theirs(run: Run) -> bool:
            return run.started is not None and run.started.subject_key == key_id

        for carried, task in self._in_hand(tenant, theirs):
            carried.log_text = None
            if not carried.ending:
                task.cancel()

    @property
    def stopping(self) -> bool:
        return self._waiters.stopping

    def let_waiters_go(self) -> None:
        """Nobody waits here for a run any more: this process is about to stop, and another will know how it ended."""
        self._waiters.stop()

    async def settled(self, tenant: str, run_id: str, timeout_seconds: float) -> bool:
        """Wait until a run is over or waits for a person; False if it took too long, this process stops, or nothing
        can be written (see `refused`)."""
        return await self._waiters.settled(tenant, run_id, timeout_seconds)

    def refused(self, tenant: str, run_id: str) -> Fault | None:
        """Why a run cannot go on until people have mended the log, or made room; None when nothing is known."""
        known = self._carried.get((tenant, run_id))
        return known[0].refused if known is not None else None

    async def close(self) -> None:
        """Stop carrying. Nothing is lost: what is not over is carried on after the next start."""
        tasks = [task for _, task in self._carried.values()]
        self._carried.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _carry(self, carried: Carried) -> None:
        key, pause = (carried.tenant, carried.run_id), 0.0
        try:
            while (run := self._read(key)) is not None and not run.over:
                try:
                    if pause:
                        await asyncio.sleep(pause)  # here, where what ends it is heeded
                    await self._driving.drive(carried)
                except SeatedElsewhere:
                    if self._placement.give_away(carried):
                        return
                    pause = FIRST_PAUSE_SECONDS
                except asyncio.CancelledError:
                    if self._carried.get(key, (None,))[0] is not carried:
                        raise
                    task = asyncio.current_task()
                    if task is not None:
                        task.uncancel()
                    pause = 0.0
                except Exception:
                    log.exception("run %s cannot go on yet", carried.run_id)
                    pause = LONGEST_PAUSE_SECONDS
        finally:
            carried.ended.set()  # given away, too: whoever waits for what happens here need not wait any more
            run = self._read(key)
            if run is None or run.over:
                self._crew.keep(*key, "")
                if self._carried.get(key, (None,))[0] is carried:
                    self._carried.pop(key, None)
                self._waiters.send_away(key)

    def _in_hand(
        self, tenant: str, fits: Callable[[Run], bool]
    ) -> Iterator[tuple[Carried, asyncio.Task[None]]]:
        """Those of the tenant's runs that are carried here and fit; one that cannot be read may be anybody's."""
        for key, in_hand in list(self._carried.items()):
            if key[0] == tenant and ((run := self._read(key)) is None or fits(run)):
                yield in_hand

    def _read(self, key: Key) -> Run | None:
        """A run as it stands; None when it cannot be read: then it is for nobody here to carry."""
        try:
            return self._runs.current(*key)
        except Unavailable:
            return None
