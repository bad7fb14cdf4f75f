"""An agent that may do less from now on: what it was permitted before is asked for anew."""

import asyncio
from typing import Any

import pytest

from chassis.eventlog.memory import MemoryLog
from kernel.events import Recorded
from provost.policy.v1 import events_pb2
from services.orchestrator.domain.records import EffectState, ErrorCounts, Mode, Verdict
from services.orchestrator.reactor import Reactor
from services.orchestrator.wire import EVENTS
from tests.fakes.wait import until
from tests.unit.orchestrator.house import AGENT, TENANT, House, house, peers
from tests.unit.orchestrator.test_settling import BOTH


def told(it: House, event: events_pb2.AgentSuspended | events_pb2.AgentDemoted) -> Recorded:
    subject = f"evt.{TENANT}.policy.agent.{AGENT}.{event.DESCRIPTOR.name}"
    return Recorded(10**6, subject, {"ce-id": "told"}, event.SerializeToString())


@pytest.mark.parametrize(
    "event",
    [events_pb2.AgentSuspended(agent_id=AGENT), events_pb2.AgentDemoted(agent_id=AGENT)],
    ids=["suspended", "demoted"],
)
async def test_a_plan_that_was_permitted_whole_goes_on_only_as_far_as_is_allowed_now(
    event: events_pb2.AgentSuspended | events_pb2.AgentDemoted,
) -> None:
    at = peers()
    at.policy.allowed = BOTH
    at.actuators.gate = asyncio.Event()
    async with house(at) as it:
        reactor = Reactor(it.runs, it.conductor)
        running = asyncio.create_task(it.process(Mode.AUTO))
        await until(lambda: len(at.actuators.done) == 1, "nothing was done")
        at.policy.allowed = frozenset()
        await reactor.take([told(it, event)])
        at.actuators.gate.set()
        view = await running
    assert [each.state for each in view.run.effects.values()].count(EffectState.SUCCEEDED) == 1
    assert len(at.actuators.done) == 1
    assert at.policy.decided[-1].reason == "TIER_TOO_LOW"


async def test_what_is_heard_while_the_decisions_are_recorded_takes_the_permits_back_too() -> None:
    at = peers()
    at.policy.allowed = BOTH
    async with house(at) as it:
        reactor, advance = Reactor(it.runs, it.conductor), at.state.advance

        async def suspended_meanwhile(*asked: Any) -> ErrorCounts:
            if at.policy.decided and at.policy.allowed:
                at.policy.allowed = frozenset()
                await reactor.take([told(it, events_pb2.AgentSuspended(agent_id=AGENT))])
            return await advance(*asked)

        at.state.advance = suspended_meanwhile  # type: ignore[method-assign,assignment]
        await it.process(Mode.AUTO)
    assert at.actuators.done == {}
    assert [each.reason for each in at.policy.decided] == ["ALLOWED_BY_TIER"] * 2 + ["TIER_TOO_LOW"] * 2


@pytest.mark.parametrize("begun", [True, False])
async def test_what_had_begun_is_told_and_counts_though_it_would_be_denied_by_now(begun: bool) -> None:
    at = peers()
    at.policy.budget = 1
    at.actuators.gate = asyncio.Event()
    log = MemoryLog(EVENTS)
    async with house(at, log) as it:
        running = asyncio.create_task(it.process(Mode.AUTO))
        await until(lambda: len(at.actuators.done) == 1, "nothing was done")
        running.cancel()
    at.actuators.gate.set()
    at.policy.allowed = frozenset()
    if not begun:
        at.actuators.done.clear()
    async with house(at, log) as it:
        run = (await it.process(Mode.AUTO)).run
    assert [each.state for each in run.effects.values()] == [EffectState.SUCCEEDED] * begun
    assert [each.verdict for each in run.decisions.values()] == [
        Verdict.ALLOW if begun else Verdict.DENY,
        Verdict.DENY,
    ]
    assert list(at.policy.settled.values()) == [begun]
    assert not at.policy.live
