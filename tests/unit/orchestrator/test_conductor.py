"""Runs carried to their end: in every mode, through outages at every call, through crashes at every event."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field, replace
from itertools import count

import pytest

from chassis.eventlog.aggregates import HeldAggregates
from chassis.eventlog.follower import Follower
from chassis.eventlog.memory import MemoryLog
from kernel.events import Cause, Recorded
from kernel.faults import NotFound, Refused, Unavailable
from services.orchestrator.adapters.privacy import SubjectPrivacy
from services.orchestrator.domain.facts import Event
from services.orchestrator.domain.faults import LogEmpty, LogTooLarge, RunUnknown
from services.orchestrator.domain.phases import ORDER, RunState
from services.orchestrator.domain.proposal import line_hash
from services.orchestrator.domain.records import (
    Action,
    Claim,
    Constraints,
    EffectState,
    ErrorBudget,
    Evidence,
    Incident,
    Mode,
    Packet,
    PlannedAction,
    Proposal,
    Strategy,
    Tier,
)
from services.orchestrator.domain.run import RUN, Run
from services.orchestrator.domain.wants import Command
from services.orchestrator.handlers import AttachedCrew, Conductor, Orchestrator, Steps
from services.orchestrator.handlers.carrying import Limits as StepLimits
from services.orchestrator.handlers.orchestrator import Limits, Reasoning, RunView
from services.orchestrator.ports.crew import Task
from services.orchestrator.ports.knowledge import Knowledge
from services.orchestrator.reactor import Reactor
from services.orchestrator.wire import EVENTS
from tests.fakes.subject_keys import MemorySubjectKeys
from tests.fakes.wait import until
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
    runs = HeldAggregates(RUN, log, EVENTS)
    crew = AttachedCrew(lambda _tenant, agent: agent == AGENT)
    ids = (f"{n:032x}" for n in count(1))
    privacy = SubjectPrivacy(at.keys)
    steps = Steps(
        runs,
        at.policy,
        at.state,
        at.actuators,
        crew,
        at.knowledge,
        privacy,
        lambda: NOW,
        limits,
        lambda: next(ids),
    )
    conductor = Conductor(runs, steps, at.policy, at.state, crew, privacy, lambda: NOW, lambda: next(ids))
    reactor = Reactor(runs, conductor)
    follower = Follower(log, reactor.filters, 0, reactor.take, "test")
    await follower.start()
    await follower.caught_up()
    orchestrator = Orchestrator(
        runs,
        conductor,
        at.policy,
        at.state,
        crew,
        privacy,
        lambda: NOW,
        Reasoning(),
        Limits(max_wait_seconds=20),
    )
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


def types(log: MemoryLog) -> list[str]:
    return [recorded.event_type for recorded in events(log)]


def events(log: MemoryLog) -> list[Recorded]:
    return log.recorded()


async def test_a_safe_run_changes_nothing_and_ends() -> None:
    at = peers()
    async with house(at) as it:
        view = await it.process(Mode.SAFE)
    run = view.run
    assert run.state is RunState.COMPLETED
    assert [effect.state for effect in run.effects.values()] == [EffectState.PREVIEWED]
    assert at.actuators.done == {}
    assert at.actuators.previews == ["diagnostics.memory"]
    assert at.state.advanced == [phase.value for phase in ORDER[1:]]
    assert at.state.lock == {}
    assert run.checks is not None
    assert all(check.ok for check in run.checks)
    assert run.report_sha256 in at.state.artifacts
    assert view.sequence == it.log.recorded()[-1].sequence


async def test_the_report_holds_the_whole_run() -> None:
    at = peers()
    async with house(at) as it:
        run = (await it.process(Mode.SAFE)).run
    report = json.loads(at.keys.content(at.state.artifacts[run.report_sha256]))
    assert run.incident is not None
    assert report["incident"] == json.loads(json.dumps(asdict(run.incident)))
    assert [each["verdict"] for each in report["decisions"]] == ["ALLOW", "DENY"]
    assert report["plan"][0]["action"]["name"] == "diagnostics.memory"
    assert report["run"]["at"] == NOW.isoformat()
    assert report["run"]["packet"]["constraints"]["forbidden"] == []


async def test_what_ends_a_phase_and_the_entry_into_the_next_are_one_event() -> None:
    at = peers()
    async with house(at) as it:
        view = await it.process(Mode.SAFE)
        safe = types(it.log)
        await it.process(Mode.AUTO, "r2")
        auto = types(it.log)[len(safe) :]
    entered = ["RunPhaseEntered"] * 2  # BOOTSTRAP and PREFLIGHT, PLAN
    package_on = ["RunVerified", "RunPackaged", "RunEnded"]
    assert safe == ["RunStarted", *entered, "PlanRecorded", "ActionsDecided", "EffectsObserved", *package_on]
    act = ["EffectIntended", "EffectsObserved", "RunPhaseEntered"]  # … VERIFY: an outcome waits for nothing
    assert auto == ["RunStarted", *entered, "PlanRecorded", "ActionsDecided", *act, *package_on]
    assert view.run.phase is ORDER[-1]


async def test_an_auto_run_acts_once_with_a_permit_and_an_intent_before() -> None:
    at = peers()
    async with house(at) as it:
        view = await it.process(Mode.AUTO)
        kinds = types(it.log)
    assert view.run.state is RunState.COMPLETED
    assert list(at.actuators.done.values()) == ["permit:a1:1"]
    assert kinds.index("ActionsDecided") < kinds.index("EffectIntended") < kinds.index("EffectsObserved")


async def test_permits_never_reach_the_log() -> None:
    at = peers()
    async with house(at) as it:
        await it.process(Mode.AUTO)
        assert not any(b"permit:" in recorded.payload for recorded in events(it.log))


async def test_an_assisted_run_waits_for_a_person_and_then_acts() -> None:
    at = peers()
    async with house(at) as it:
        view = await it.process(Mode.ASSISTED)
        assert view.run.state is RunState.WAITING
        assert at.actuators.done == {}
        assert at.policy.asked["ap-a1"][2] == "key:op"
        run_id = view.run.known.run_id
        at.policy.answer("APPROVED")
        it.conductor.nudge(TENANT, run_id)
        await ended(it, run_id)
        run = it.runs.current(TENANT, run_id)
    assert run.state is RunState.COMPLETED
    assert list(at.actuators.done.values()) == ["permit:a1:2"]


async def test_an_approved_action_is_done_whatever_is_away_in_between() -> None:
    at = peers()
    async with house(at) as it:
        await approved(at, it)
        total = at.outage.calls
    for n in range(2, total + 1):
        at = peers(Outage({n}))
        async with house(at) as it:
            run = await approved(at, it)
        assert run.state is RunState.COMPLETED, f"outage at call {n}"
        assert [effect.state for effect in run.effects.values()] == [EffectState.SUCCEEDED], f"outage at {n}"
        assert run.decisions["a1"].verdict == "ALLOW", f"outage at call {n}"
        assert len(at.actuators.done) == 1, f"outage at call {n}"


async def approved(at: Peers, it: House) -> Run:
    """An assisted run, a person's yes, and its end."""
    run_id = (await it.process(Mode.ASSISTED)).run.known.run_id
    at.policy.answer("APPROVED")
    it.conductor.nudge(TENANT, run_id)
    await ended(it, run_id)
    return it.runs.current(TENANT, run_id)


async def test_a_crash_after_the_approval_was_spent_loses_nothing() -> None:
    at, log = peers(), MemoryLog(EVENTS)
    async with house(at, log) as it:
        run = await approved(at, it)
        kinds = types(log)
    first, last = kinds.index("ApprovalsAwaited") + 2, len(kinds)
    for n in range(first, last):
        at, log = peers(), MemoryLog(EVENTS)
        async with house(at, log) as it:
            run_id = (await it.process(Mode.ASSISTED)).run.known.run_id
            at.policy.answer("APPROVED")
            it.conductor.nudge(TENANT, run_id)
            async with asyncio.timeout(10):
                while len(log.recorded()) < n:
                    await asyncio.sleep(0)
        async with house(at, log) as it:
            await ended(it, run_id)
            run = it.runs.current(TENANT, run_id)
        assert run.state is RunState.COMPLETED, f"crash after event {n}"
        assert [effect.state for effect in run.effects.values()] == [EffectState.SUCCEEDED], (
            f"crash after {n}"
        )
        assert len(at.actuators.done) == 1, f"crash after event {n}"


async def test_an_agent_is_booked_once_for_a_run_and_free_when_none_began() -> None:
    crew = AttachedCrew(lambda *_: True)
    for agent in ("sre-1", "sre-2"):
        crew.attach(TENANT, agent, "token")
    assert crew.reserve_any(TENANT, "r1") == crew.reserve_any(TENANT, "r1")
    assert crew.reserve_any(TENANT, "r2")
    at, log = peers(), MemoryLog(EVENTS)
    async with house(at, log) as it:
        log.fail_next()
        with pytest.raises(Unavailable):
            await it.process(Mode.SAFE)
        assert (await it.process(Mode.SAFE, "another")).run.state is RunState.COMPLETED


async def test_a_run_whose_beginning_was_not_answered_is_carried_all_the_same() -> None:
    at, log = peers(), MemoryLog(EVENTS)
    async with house(at, log) as it:
        log.lose_next_answer()
        with pytest.raises(Unavailable):
            await it.process(Mode.SAFE)
        (run_id,) = {recorded.stream.id for recorded in log.recorded()}
        await ended(it, run_id)
        assert it.runs.current(TENANT, run_id).state is RunState.COMPLETED


async def test_revoked_between_intent_and_outcome_is_not_left_to_the_next_to_do_again() -> None:
    at = peers()
    at.actuators.gate = asyncio.Event()
    async with house(at) as it:
        asking = asyncio.create_task(it.process(Mode.AUTO))
        async with asyncio.timeout(10):
            while not at.actuators.done:
                await asyncio.sleep(0)
        it.conductor.agent_revoked(TENANT, AGENT, "operator", "taken away")
        run = (await asking).run
    assert run.state is RunState.REVOKED
    assert "1 of unknown outcome" in run.outcome
    (handoff,) = at.state.handoffs
    assert any(t.startswith("a1: ") and "UNKNOWN" in t for t in map(at.keys.text, handoff.what_was_tried))
    assert not any("diagnostics.memory" in t for t in map(at.keys.text, handoff.required_next_actions))


async def test_while_a_run_waits_its_agent_serves_others() -> None:
    at = peers()
    async with house(at) as it:
        waiting = await it.process(Mode.ASSISTED)
        other = await it.process(Mode.SAFE, "r2")
        assert (waiting.run.state, other.run.state) == (RunState.WAITING, RunState.COMPLETED)


async def test_state_is_told_what_a_run_waits_for_and_that_it_works_again() -> None:
    at = peers()
    async with house(at) as it:
        run_id = (await it.process(Mode.ASSISTED)).run.known.run_id
        await until(lambda: at.state.waiting == {AGENT: "ap-a1"}, "nobody was told")
        at.policy.answer("APPROVED")
        it.conductor.nudge(TENANT, run_id)
        await ended(it, run_id)
    assert at.state.waiting == {}


async def test_state_is_told_of_an_effect_that_takes_long_and_of_no_other() -> None:
    at = peers()
    async with house(at, limits=StepLimits(quick_seconds=0.05)) as it:
        await it.process(Mode.AUTO)
        assert at.state.said == []
    at = peers()
    at.actuators.gate = asyncio.Event()
    async with house(at, limits=StepLimits(quick_seconds=0.05)) as it:
        asking = asyncio.create_task(it.process(Mode.AUTO))
        await until(lambda: AGENT in at.state.waiting, "nobody was told")
        assert at.state.waiting[AGENT].startswith("effect ")
        at.actuators.gate.set()
        assert (await asking).run.state is RunState.COMPLETED
    assert at.state.waiting == {}


async def test_a_run_that_is_ended_while_it_waits_waits_no_more() -> None:
    at = peers()
    async with house(at) as it:
        run_id = (await it.process(Mode.ASSISTED)).run.known.run_id
        await until(lambda: at.state.waiting == {AGENT: "ap-a1"}, "nobody was told")
        it.conductor.agent_revoked(TENANT, AGENT, "operator", "taken away")
        await ended(it, run_id)
        assert it.runs.current(TENANT, run_id).state is RunState.REVOKED
    assert at.state.waiting == {}


async def test_a_rejected_run_ends_without_acting() -> None:
    at = peers()
    async with house(at) as it:
        view = await it.process(Mode.ASSISTED)
        at.policy.answer("REJECTED")
        it.conductor.nudge(TENANT, view.run.known.run_id)
        await ended(it, view.run.known.run_id)
        assert it.runs.current(TENANT, view.run.known.run_id).state is RunState.COMPLETED
    assert at.actuators.done == {}


async def ended(it: House, run_id: str) -> None:
    async with asyncio.timeout(10):
        while not it.runs.current(TENANT, run_id).over:
            await asyncio.sleep(0)


async def test_a_forbidden_action_revokes_and_leaves_a_handoff() -> None:
    at = peers()
    at.policy.forbidden = frozenset({"service.restart"})
    async with house(at) as it:
        view = await it.process(Mode.AUTO)
    assert view.run.state is RunState.REVOKED
    assert view.run.reason == "PROCEDURE_VIOLATION"
    assert at.policy.revoked == {AGENT: "procedure_violation"}
    assert at.actuators.done == {}
    (handoff,) = at.state.handoffs
    assert handoff.previous_agent_id == AGENT
    assert handoff.revoked
    assert not any("diagnostics.memory" in action for action in handoff.required_next_actions), "sealed"
    assert any("diagnostics.memory" in t for t in map(at.keys.text, handoff.required_next_actions))


async def test_a_plain_denial_revokes_nobody() -> None:
    at = peers()
    async with house(at) as it:
        view = await it.process(Mode.AUTO)
    assert view.run.decisions["a2"].verdict == "DENY"
    assert at.policy.revoked == {}
    assert at.state.errors == []


async def test_the_same_failure_twice_spends_the_budget() -> None:
    at = peers()

    def fail(task: Task) -> Proposal:
        raise Refused("AGENT_FAILED", "no idea")

    async with house(at, think=fail) as it:
        view = await it.process(Mode.SAFE)
    assert at.state.errors == [("AGENT_FAILED", False)] * 2
    assert view.run.state is RunState.REVOKED
    assert view.run.reason == "ERROR_BUDGET_EXCEEDED"
    assert at.policy.revoked == {AGENT: "same_error_repeated"}


async def test_a_claim_without_a_line_is_no_plan() -> None:
    at = peers()

    def invent(task: Task) -> Proposal:
        honest = proposal(task)
        assert honest.incident is not None
        forged = replace(honest.incident.evidence[0], sha256="0" * 64)
        return replace(honest, incident=replace(honest.incident, evidence=(forged,)))

    async with house(at, think=invent) as it:
        view = await it.process(Mode.AUTO)
    assert view.run.plan is None
    assert at.actuators.done == {}
    assert view.run.state is RunState.REVOKED


async def test_a_revoked_agent_does_not_start() -> None:
    at = peers()
    at.policy.revoked[AGENT] = "operator"
    async with house(at) as it:
        view = await it.process(Mode.SAFE)
    assert (view.run.state, view.run.reason) == (RunState.REFUSED, "AGENT_PREVIOUSLY_REVOKED")
    assert at.state.advanced == []


async def test_a_suspended_agent_does_not_start_and_it_is_said_why() -> None:
    at = peers()
    at.policy.suspended[AGENT] = "let me look"
    async with house(at) as it:
        view = await it.process(Mode.SAFE)
    assert (view.run.state, view.run.reason) == (RunState.REFUSED, "AGENT_SUSPENDED")
    assert "let me look" in view.run.outcome
    assert at.state.advanced == []


async def test_revoked_in_the_middle_ends_the_run_with_a_handoff() -> None:
    at = peers()
    thinking = asyncio.Event()

    async with house(at, think=proposal) as it:
        view = await it.process(Mode.ASSISTED)
        it.conductor.agent_revoked(TENANT, AGENT, "operator", "taken away")
        await ended(it, view.run.known.run_id)
        run = it.runs.current(TENANT, view.run.known.run_id)
    assert not thinking.is_set()
    assert run.state is RunState.REVOKED
    assert len(at.state.handoffs) == 1
    assert at.actuators.done == {}


async def test_without_a_packet_the_run_is_refused() -> None:
    at = peers()
    async with house(at) as it:
        view = await it.orchestrator.start_run(AGENT, "t1", "", Mode.SAFE, None, "", cause())
        await ended(it, view.run.known.run_id)
        run = it.runs.current(TENANT, view.run.known.run_id)
    assert (run.state, run.reason) == (RunState.REFUSED, "NO_INSTRUCTION_PACKET")


async def test_without_an_artifact_that_its_packet_demands_the_agent_is_revoked() -> None:
    at = peers()
    demanding = Packet(
        agent_id=AGENT,
        task_id="t1",
        created_for="key:op",
        objective="patch it",
        deliverables=("plan", "artifact:patch.diff"),
        constraints=Constraints(),
        success_criteria=(),
        error_budget=ErrorBudget(),
        escalation_rules=(),
        created_at=NOW,
    )
    async with house(at) as it:
        view = await it.orchestrator.start_run(AGENT, "t1", "", Mode.SAFE, demanding, "", cause())
        await ended(it, view.run.known.run_id)
        run = it.runs.current(TENANT, view.run.known.run_id)
    assert (run.state, run.reason) == (RunState.REVOKED, "REQUIRED_ARTIFACT_MISSING")
    assert at.policy.revoked == {AGENT: "required_artifact_missing"}
    assert len(at.state.handoffs) == 1


async def test_a_lock_somebody_else_holds_refuses_the_run() -> None:
    at = peers()
    at.state.lock[AGENT] = ("another-run", 7)
    async with house(at) as it:
        view = await it.process(Mode.SAFE)
    assert (view.run.state, view.run.reason) == (RunState.REFUSED, "CANNOT_ACQUIRE_LOCK")


async def test_the_same_request_is_the_same_run() -> None:
    at = peers()
    async with house(at) as it:
        first, second = await it.process(Mode.AUTO), await it.process(Mode.AUTO)
        assert first == second
        assert types(it.log).count("RunStarted") == 1
    assert len(at.actuators.done) == 1


@pytest.mark.parametrize("mode", [Mode.SAFE, Mode.AUTO])
async def test_an_outage_at_any_call_changes_nothing(mode: Mode) -> None:
    at = peers()
    async with house(at) as it:
        whole = await it.process(mode)
    total = at.outage.calls
    assert total > 10
    for n in range(1, total + 1):
        at = peers(Outage({n}))
        async with house(at) as it:
            try:
                view = await it.process(mode)
            except Unavailable:  # before the run began: the caller tries again
                assert n <= 1
                view = await it.process(mode)
        assert view.run.state is whole.run.state, f"outage at call {n}"
        assert len(at.actuators.done) == (mode is Mode.AUTO), f"outage at call {n}"
        assert view.run.effects.keys() == whole.run.effects.keys()


@pytest.mark.parametrize("mode", [Mode.SAFE, Mode.AUTO])
async def test_a_crash_after_any_event_does_no_step_twice(mode: Mode) -> None:
    at = peers()
    async with house(at) as it:
        whole = await it.process(mode)
        length = len(it.log.recorded())
    for n in range(1, length):
        at, log = peers(), MemoryLog(EVENTS)
        async with house(at, log) as it:
            started = asyncio.create_task(it.process(mode))
            async with asyncio.timeout(10):
                while len(log.recorded()) < n:
                    await asyncio.sleep(0)
            started.cancel()
        async with house(at, log) as it:
            view = await it.process(mode)
        assert view.run.state is RunState.COMPLETED, f"crash after event {n}"
        assert view.run.effects.keys() == whole.run.effects.keys(), f"crash after event {n}"
        assert len(at.actuators.done) == (mode is Mode.AUTO), f"crash after event {n}"
        kinds = types(log)
        assert kinds.count("EffectIntended") == (mode is Mode.AUTO)
        assert kinds.count("RunEnded") == 1


async def test_what_cannot_be_a_log_starts_no_run() -> None:
    at = peers()
    async with house(at) as it:
        with pytest.raises(LogEmpty):
            await it.process(Mode.SAFE, log=b" \n\t\n")
        with pytest.raises(LogTooLarge):
            await it.process(Mode.SAFE, log=b"x" * (32 * 1024 * 1024 + 1))
        with pytest.raises(NotFound):
            await it.orchestrator.start_run("nobody", "t1", "look", Mode.SAFE, None, "", cause())
        with pytest.raises(RunUnknown):
            await it.orchestrator.get_run(TENANT, "0" * 32, 0)
        assert it.log.recorded() == []


async def test_bytes_that_are_not_text_are_counted_and_secrets_go() -> None:
    at = peers()
    async with house(at) as it:
        view = await it.process(Mode.SAFE, log=LOG + b"\xff\xfe password=hunter2\n")
    source = view.run.known.source
    assert source is not None
    assert source.replaced_bytes == 2
    assert source.redactions == {"assigned_secret": 1}
    assert not any(b"hunter2" in content for content in at.state.artifacts.values())
    assert not any(b"hunter2" in recorded.payload for recorded in events(it.log))


async def test_a_run_that_no_agent_will_ever_take_ends() -> None:
    async with house(peers()) as at:
        asked = Cause("elsewhere", "r1", "key:op", NOW)
        view = await at.orchestrator.process_log(LOG, Mode.SAFE, Strategy.CLASSIC, True, "", (), "", asked)
        assert (view.run.state, view.run.reason) == (RunState.REFUSED, "NO_AGENT_FREE")


async def test_another_tenant_sees_nothing() -> None:
    at = peers()
    async with house(at) as it:
        view = await it.process(Mode.SAFE)
        with pytest.raises(RunUnknown):
            await it.orchestrator.get_run("other", view.run.known.run_id, 0)
        assert it.orchestrator.list_runs("other", None, "", 10) == ([], "")
