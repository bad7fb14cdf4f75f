"""Runs and streams of a revoked agent are over before anybody says so."""

import asyncio
from typing import Any

import pytest

from kernel.events import Recorded
from services.orchestrator.domain.budget import Breach
from services.orchestrator.domain.facts import RunEnded
from services.orchestrator.domain.phases import RunState
from services.orchestrator.domain.records import Mode
from services.orchestrator.reactor import Reactor
from tests.fakes.wait import until
from tests.unit.orchestrator.house import AGENT, TENANT, ended, house, peers


async def test_nothing_is_said_while_a_step_of_its_run_still_goes_on() -> None:
    at = peers()
    begun, free = asyncio.Event(), asyncio.Event()
    perform = at.actuators.perform

    async def clinging(*asked: Any) -> Any:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            await free.wait()
        return await perform(*asked)

    at.actuators.perform = clinging  # type: ignore[method-assign,assignment]
    async with house(at) as it:
        asking = asyncio.create_task(it.process(Mode.AUTO))
        await begun.wait()
        it.conductor.agent_revoked(TENANT, AGENT, "operator", "taken away")
        saying = asyncio.create_task(it.conductor.runs_of_revoked(TENANT, AGENT))
        for _ in range(50):
            await asyncio.sleep(0)
        assert not saying.done(), "its run was said to be over while a step of it went on"
        free.set()
        assert await saying == 1
        assert (await asking).run.state is RunState.REVOKED


async def test_what_waits_for_the_agent_ends_with_it() -> None:
    at = peers()
    async with house(at) as it:
        run_id = (await it.process(Mode.ASSISTED)).run.known.run_id
        it.conductor.agent_revoked(TENANT, AGENT, "operator", "taken away")
        assert await it.conductor.runs_of_revoked(TENANT, AGENT) == 1
        assert await it.conductor.streams_of_revoked(TENANT, AGENT) == 1
        await ended(it, run_id)
        assert it.runs.current(TENANT, run_id).state is RunState.REVOKED
        await until(lambda: not it.conductor._carried, "it is still carried")
        assert await it.conductor.runs_of_revoked(TENANT, AGENT) == 1, (
            "it was over before anybody asked, and ended"
        )
    assert len(at.state.handoffs) == 1


async def test_a_run_that_ended_well_in_the_same_moment_has_lost_nothing() -> None:
    async with house(peers()) as it:
        append, written, free = it.log.append, asyncio.Event(), asyncio.Event()

        async def slow(stream: Any, events: Any, **how: Any) -> Any:
            appended = await append(stream, events, **how)
            if any(isinstance(each, RunEnded) for each in events):
                written.set()
                await free.wait()  # it is in the log, and who wrote it has not heard
            return appended

        it.log.append = slow  # type: ignore[method-assign]
        asking = asyncio.create_task(it.process(Mode.SAFE))
        await written.wait()
        it.conductor.agent_revoked(TENANT, AGENT, "operator", "taken away")
        free.set()
        assert (await asking).run.state is RunState.COMPLETED
        assert await it.conductor.runs_of_revoked(TENANT, AGENT) == 0


async def test_a_revocation_that_cannot_be_read_ends_runs_and_streams_all_the_same() -> None:
    async with house(peers()) as it:
        run_id = (await it.process(Mode.ASSISTED)).run.known.run_id
        reactor, subject = Reactor(it.runs, it.conductor), f"evt.{TENANT}.policy.agent.{AGENT}.AgentRevoked"
        await reactor.take([Recorded(10_000, subject, {}, b"{}")])
        with pytest.raises(RuntimeError):
            await it.conductor.runs_of_revoked(TENANT, AGENT)  # what has no header is no event
        headers = {"ce-type": "provost.policy.v1.AgentRevoked"}
        await reactor.take([Recorded(10_001, subject, headers, b"\xff\xff")])
        assert await it.conductor.runs_of_revoked(TENANT, AGENT) == 1
        assert await it.conductor.streams_of_revoked(TENANT, AGENT) == 1
        await ended(it, run_id)
        run = it.runs.current(TENANT, run_id)
        assert (run.state, run.reason) == (RunState.REVOKED, "AGENT_REVOKED")


async def test_a_run_that_was_given_away_meanwhile_is_not_waited_for() -> None:
    at = peers()
    begun = asyncio.Event()

    async def clinging(*_asked: Any) -> Any:
        begun.set()
        await asyncio.Event().wait()

    at.actuators.perform = clinging  # type: ignore[method-assign,assignment]
    async with house(at) as it:
        asking = asyncio.create_task(it.process(Mode.AUTO))
        await begun.wait()
        (((tenant, run_id), (carried, task)),) = it.conductor._carried.items()
        it.conductor._driving.revoked[TENANT, AGENT] = Breach("operator", "AGENT_REVOKED", "taken away")
        saying = asyncio.create_task(it.conductor.runs_of_revoked(TENANT, AGENT))
        await asyncio.sleep(0)
        it.conductor._placement._let_go(carried, it.runs.current(tenant, run_id))
        task.cancel()
        assert await asyncio.wait_for(saying, 10) == 1
        asking.cancel()


async def test_a_revocation_that_was_not_heeded_is_not_spoken_of() -> None:
    async with house(peers()) as it:
        for surface in it.conductor.surfaces.values():
            with pytest.raises((RuntimeError, KeyError)):
                await surface(TENANT, AGENT)
