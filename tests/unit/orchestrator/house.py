"""An orchestrator with peers in memory, to be asked for runs."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

from chassis.eventlog.aggregates import HeldAggregates
from chassis.eventlog.follower import Follower
from chassis.eventlog.memory import MemoryLog
from chassis.eventlog.shelf import Shelf
from kernel.events import Cause
from kernel.faults import Refused
from services.orchestrator.adapters.privacy import SubjectPrivacy
from services.orchestrator.domain.facts import Event
from services.orchestrator.domain.proposal import line_hash
from services.orchestrator.domain.records import (
    Action,
    Claim,
    Evidence,
    Incident,
    Mode,
    PlannedAction,
    Proposal,
    Strategy,
    Tier,
)
from services.orchestrator.domain.run import RUN, Run
from services.orchestrator.domain.wants import Command
from services.orchestrator.handlers import AttachedCrew, Conductor, Orchestrator, Reasoning, orchestration
from services.orchestrator.handlers.carrying import StepLimits
from services.orchestrator.handlers.orchestrator import Limits, RunView
from services.orchestrator.ports.crew import Task
from services.orchestrator.ports.knowledge import Knowledge
from services.orchestrator.reactor import Reactor
from services.orchestrator.wire import EVENTS
from tests.fakes.subject_keys import MemorySubjectKeys
from tests.unit.orchestrator.doors import NOW, FakeActuators, FakePolicy, FakeState, NothingKnown, Outage

TENANT, AGENT = "acme", "sre-1"
LOG = b"Jan  1 00:00:01 web kernel: Out of memory: Killed process 4242 (java)\n"


def proposal(task: Task) -> Proposal:
    line = task.log.decode().split("\n")[0]
    names = ("diagnostics.memory", "service.restart")
    incident = Incident(
        "critical",
        "memory_exhausted",
        0.9,
        "the kernel killed java",
        (Evidence("L1", 1, line, line_hash(line)),),
        (),
        (Claim("the kernel killed java", "memory_exhausted", "critical", 0.9, ("L1",)),),
    )
    plan = tuple(
        PlannedAction(Action(f"a{n}", name, "localhost", "sandbox"), Tier.T0_OBSERVER, "to see", ("L1",))
        for n, name in enumerate(names, 1)
    )
    return Proposal(task.run_id, incident if task.log else None, plan, ())


@dataclass
class House:
    """An orchestrator with peers in memory, and an agent that answers every task with `proposal`."""

    log: MemoryLog
    runs: HeldAggregates[Command, Run, Event]
    conductor: Conductor
    orchestrator: Orchestrator
    crew: AttachedCrew
    privacy: SubjectPrivacy

    async def process(self, mode: Mode, request_id: str = "r1", log: bytes = LOG) -> RunView:
        """Process a log; the run as a caller sees it, opened."""
        view = await self.orchestrator.process_log(
            log, mode, Strategy.CLASSIC, True, "", (), "", cause(request_id)
        )
        run = await self.privacy.opened(TENANT, view.run.known.subject_key, view.run)
        return replace(view, run=run)


def cause(request_id: str = "r1") -> Cause:
    return Cause(TENANT, request_id, "key:op", NOW)


@dataclass
class Peers:
    policy: FakePolicy
    state: FakeState
    actuators: FakeActuators
    outage: Outage
    knowledge: Knowledge = field(default_factory=NothingKnown)
    keys: MemorySubjectKeys = field(default_factory=MemorySubjectKeys)


def peers(outage: Outage | None = None) -> Peers:
    outage = outage or Outage()
    return Peers(FakePolicy(outage), FakeState(outage), FakeActuators(outage), outage)


_LIMITS = StepLimits(crew_seconds=0.2)


@asynccontextmanager
async def house(
    at: Peers,
    log: MemoryLog | None = None,
    think: Callable[[Task], Proposal] = proposal,
    limits: StepLimits = _LIMITS,
) -> AsyncIterator[House]:
    log = log or MemoryLog(EVENTS)
    shelf = Shelf(Path(tempfile.gettempdir()), most_held=0)
    runs = HeldAggregates(RUN, log, EVENTS, shelf)
    crew = AttachedCrew(lambda _tenant, agent: agent == AGENT)
    ids = (f"{n:032x}" for n in count(1))
    privacy = SubjectPrivacy(at.keys)
    conductor, orchestrator = orchestration(
        runs,
        at.policy,
        at.state,
        at.actuators,
        crew,
        at.knowledge,
        privacy,
        lambda: NOW,
        lambda: next(ids),
        Reasoning(),
        lambda sequence: follower.reached(sequence, timeout_seconds=5.0),
        step_limits=limits,
        limits=Limits(max_wait_seconds=20),
    )
    reactor = Reactor(runs, conductor)
    follower = Follower(log, reactor.filters, 0, reactor.take, "test")
    await follower.start()
    await follower.caught_up()
    seat = crew.attach(TENANT, AGENT, "token")

    async def answer() -> None:
        async for task in seat.tasks():
            try:
                seat.propose(think(task))
            except Refused as fault:
                seat.fail(task.run_id, fault)

    agent = asyncio.create_task(answer())
    conductor.resume()
    try:
        yield House(log, runs, conductor, orchestrator, crew, privacy)
    finally:
        agent.cancel()
        await conductor.close()
        await follower.stop()
        shelf.close()


def types(log: MemoryLog) -> list[str]:
    return [recorded.event_type for recorded in log.recorded()]


async def approved(at: Peers, it: House, mode: Mode = Mode.ASSISTED) -> Run:
    """A run that waits for people, a person's yes, and its end."""
    run_id = (await it.process(mode)).run.known.run_id
    at.policy.answer("APPROVED")
    it.conductor.nudge(TENANT, run_id)
    await ended(it, run_id)
    return it.runs.current(TENANT, run_id)


async def ended(it: House, run_id: str) -> None:
    async with asyncio.timeout(10):
        while not it.runs.current(TENANT, run_id).over:
            await asyncio.sleep(0)
