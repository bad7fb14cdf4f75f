"""Runs carried to their end through outages at every call and crashes at every event."""

import asyncio

import pytest

from chassis.eventlog.memory import MemoryLog
from kernel.faults import Unavailable
from services.orchestrator.domain.phases import RunState
from services.orchestrator.domain.records import EffectState, Mode
from services.orchestrator.wire import EVENTS
from tests.unit.orchestrator.doors import Outage
from tests.unit.orchestrator.house import TENANT, approved, ended, house, peers, types


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
