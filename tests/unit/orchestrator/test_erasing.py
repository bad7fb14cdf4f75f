"""A run whose subject is erased: sealed while it goes on, ended when the key goes, unreadable after."""

import asyncio
from dataclasses import replace
from pathlib import Path

from chassis.eventlog.memory import MemoryLog
from services.orchestrator.domain.phases import RunState
from services.orchestrator.domain.records import Incident, Mode, Proposal, Strategy
from services.orchestrator.ports.crew import Task
from services.orchestrator.wire import EVENTS, run_to_wire
from tests.fakes.subject_keys import MemorySubjectKeys
from tests.unit.orchestrator.house import TENANT, cause, house, peers, proposal
from tests.unit.orchestrator.test_knowledge import house_that_learns, learning

CANARY = "zyxcanary"
LOG = f"kernel: Out of memory: Killed process 4242 ({CANARY})\n".encode()


def telling(task: Task) -> Proposal:
    """What an agent says who repeats the log."""
    made = proposal(task)
    assert isinstance(made.incident, Incident)
    plan = tuple(
        replace(
            each, why=f"for {CANARY}", action=replace(each.action, target=CANARY, parameters={"to": CANARY})
        )
        for each in made.plan
    )
    return replace(made, incident=replace(made.incident, summary=f"{CANARY} is ill"), plan=plan)


def everything(log: MemoryLog) -> bytes:
    return b"".join(each.payload + str(dict(each.headers)).encode() for each in log.recorded())


async def test_what_a_log_says_is_in_no_event_and_no_artifact() -> None:
    at, log = peers(), MemoryLog(EVENTS)
    async with house(at, log, telling) as it:
        view = await it.process(Mode.AUTO, log=LOG)
        held = it.runs.current(TENANT, view.run.known.run_id)
    assert view.run.state is RunState.COMPLETED
    assert view.run.incident is not None
    assert CANARY in view.run.incident.summary
    assert CANARY.encode() not in everything(log)
    assert all(CANARY.encode() not in content for content in at.state.artifacts.values())
    assert CANARY not in str(held), "nor is it held in the clear"
    assert CANARY not in str(run_to_wire(held, 1))


async def test_a_run_at_work_ends_when_its_subject_is_erased() -> None:
    at = peers()
    at.actuators.gate = asyncio.Event()
    async with house(at, think=telling) as it:
        asking = asyncio.create_task(
            it.orchestrator.process_log(LOG, Mode.AUTO, Strategy.CLASSIC, True, "", (), "alice", cause())
        )
        async with asyncio.timeout(10):
            while not at.actuators.done:
                await asyncio.sleep(0)
        key_id = (await at.keys.of_subject(TENANT, "alice")).key_id
        at.keys.erase(TENANT, key_id)
        it.conductor.subject_erased(TENANT, key_id)
        async with asyncio.timeout(10):
            run = (await asking).run
        assert (run.state, run.reason) == (RunState.FAILED, "SUBJECT_ERASED")
        assert "erased" in run.outcome
        assert not it.privacy._known
        other = await it.process(Mode.SAFE, "r2")
    assert other.run.state is RunState.COMPLETED, "the agent is free again"


async def test_a_run_that_waits_ends_too_and_so_does_one_that_is_found_at_a_start() -> None:
    at, log = peers(), MemoryLog(EVENTS)
    async with house(at, log, telling) as it:
        view = await it.process(Mode.ASSISTED, log=LOG)
        assert view.run.state is RunState.WAITING
        run_id, key_id = view.run.known.run_id, view.run.known.subject_key
    at.keys.erase(TENANT, key_id)
    async with house(at, log, telling) as it:
        assert await it.conductor.settled(TENANT, run_id, 10)
        async with asyncio.timeout(10):
            while not it.runs.current(TENANT, run_id).over:
                await asyncio.sleep(0)
        assert it.runs.current(TENANT, run_id).reason == "SUBJECT_ERASED"


async def test_a_packet_that_is_issued_again_is_the_same_packet() -> None:
    at = peers()
    async with house(at) as it:
        view = await it.process(Mode.ASSISTED)
        first = at.state.packets[view.run.agent_id]
        at.policy.answer("APPROVED")
        it.conductor.nudge(TENANT, view.run.known.run_id)
        async with asyncio.timeout(10):
            while not it.runs.current(TENANT, view.run.known.run_id).over:
                await asyncio.sleep(0)
    assert at.state.packets[view.run.agent_id] == first, (
        "else the errors of the run would be counted from nothing"
    )
    assert first.objective.startswith("sealed:v1:")


async def test_what_was_known_of_an_erased_subject_is_not_known_any_more(tmp_path: Path) -> None:
    log, keys, path = MemoryLog(EVENTS), MemorySubjectKeys(), tmp_path / "k.db"
    async with house_that_learns(log, path, keys) as (it, learner):
        run = (await it.process(Mode.SAFE)).run
        assert len((await learner.rows())[2]) == 1
        key_id = run.known.subject_key
        keys.erase(TENANT, key_id)
        await learner.knowledge._do(learner.knowledge._erase, TENANT, key_id)
        assert await learner.rows() == [(await learner.rows())[0], [], []]
    for file in tmp_path.iterdir():
        file.unlink()
    async with learning(log, path, keys) as learner:
        assert (await learner.rows())[1:] == [[], []], "nor when it is made anew"
