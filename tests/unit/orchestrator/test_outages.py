"""Runs carried to their end through outages at every call and crashes at every event."""

import asyncio
from typing import Any

import pytest

from chassis.eventlog.memory import MemoryLog
from kernel.faults import AppendConflict, Exhausted, Fault, NotFound, Unavailable
from services.orchestrator.domain.faults import IllegalTransition
from services.orchestrator.domain.phases import RunState
from services.orchestrator.domain.records import EffectState, ErrorCounts, Mode, Proposal
from services.orchestrator.ports.crew import Task
from services.orchestrator.wire import EVENTS
from tests.unit.orchestrator.doors import Outage
from tests.unit.orchestrator.house import AGENT, TENANT, approved, ended, house, peers, proposal, types


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


async def test_a_run_whose_beginning_was_not_answered_is_carried_all_the_same() -> None:
    at, log = peers(), MemoryLog(EVENTS)
    async with house(at, log) as it:
        log.lose_next_answer()
        with pytest.raises(Unavailable):
            await it.process(Mode.SAFE)
        (run_id,) = {recorded.stream.id for recorded in log.recorded()}
        await ended(it, run_id)
        assert it.runs.current(TENANT, run_id).state is RunState.COMPLETED


@pytest.mark.parametrize("reason", ["LOG_FULL", "ARTIFACTS_FULL"])
async def test_where_there_is_no_room_a_run_waits_and_whoever_asks_is_told(reason: str) -> None:
    at = peers()
    advance = at.state.advance

    async def no_room(*_: object) -> Any:
        raise Exhausted(reason, "there is no room: nothing is written")

    at.state.advance = no_room  # type: ignore[method-assign,assignment]
    async with house(at) as it:
        with pytest.raises(Exhausted) as told:
            await it.process(Mode.SAFE)
        assert told.value.reason == reason
        at.state.advance = advance  # type: ignore[method-assign]
        view = await it.process(Mode.SAFE)
    assert view.run.state is RunState.COMPLETED
    assert (at.state.errors, at.policy.revoked) == ([], {})


async def test_that_somebody_else_was_quicker_is_no_error_of_the_agent() -> None:
    at = peers()
    advance, quicker = at.state.advance, 3

    async def busy(*asked: Any) -> ErrorCounts:
        nonlocal quicker
        if "VERIFY" in asked and quicker:
            quicker -= 1
            raise AppendConflict("evt.acme.state.agent.sre-1.*", 1)
        return await advance(*asked)

    at.state.advance = busy  # type: ignore[method-assign,assignment]
    async with house(at) as it:
        view = await it.process(Mode.SAFE)
    assert (view.run.state, quicker) == (RunState.COMPLETED, 0)
    assert (at.state.errors, at.policy.revoked) == ([], {})


LOST = NotFound("ARTIFACT_UNKNOWN", "there is no such artifact")
NO_MORE = Exhausted("ARTIFACTS_FULL", "task t1 has 10000 artifacts, and no more fit", task_id="t1")

NO_WAY = IllegalTransition("r1", "EXECUTE", "EXIT")


@pytest.mark.parametrize("fault", [LOST, NO_MORE, NO_WAY], ids=["lost", "no more of this task", "a bug"])
async def test_what_gets_no_better_ends_the_run_and_its_agent_does_not_pay(fault: Fault) -> None:
    at = peers()
    put = at.state.put_artifact

    async def refused(content: bytes, name: str, *more: Any) -> str:
        if name == "report.json":
            raise fault
        return await put(content, name, *more)

    at.state.put_artifact = refused  # type: ignore[method-assign,assignment]
    async with house(at) as it:
        view = await it.process(Mode.SAFE)
    assert (view.run.state, view.run.reason) == (RunState.FAILED, fault.reason)
    assert (at.state.errors, at.policy.revoked, at.state.lock) == ([], {}, {})


async def test_a_run_that_pauses_after_a_bug_ends_with_its_agent_all_the_same() -> None:
    at = peers()
    met = asyncio.Event()

    async def failing(*_: object) -> Any:
        met.set()
        raise RuntimeError("a bug in the keys")

    def think(task: Task) -> Proposal:
        it.privacy.opened = failing  # type: ignore[method-assign,assignment]
        return proposal(task)

    async with house(at, think=think) as it:
        opened = it.privacy.opened
        asking = asyncio.create_task(it.process(Mode.AUTO))
        await met.wait()
        await asyncio.sleep(0)
        it.privacy.opened = opened  # type: ignore[method-assign]
        it.conductor.agent_revoked(TENANT, AGENT, "operator", "taken away")
        assert await asyncio.wait_for(it.conductor.runs_of_revoked(TENANT, AGENT), 10) == 1
        assert (await asyncio.wait_for(asking, 10)).run.state is RunState.REVOKED
