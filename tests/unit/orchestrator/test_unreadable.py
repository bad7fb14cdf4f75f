"""A run of which something cannot be read while it is carried: nobody goes on with it, and nobody else has to pay."""

import asyncio

import pytest

from kernel.events import Recorded
from kernel.faults import Unavailable
from provost.policy.v1 import events_pb2
from services.orchestrator.domain.records import Mode
from services.orchestrator.reactor import Reactor
from tests.fakes.wait import until
from tests.unit.orchestrator.house import AGENT, TENANT, House, house, peers


def of_newer_version(it: House, run_id: str) -> Recorded:
    last = it.log.recorded()[-1]
    subject = f"evt.{TENANT}.orchestrator.run.{run_id}.FromNewerVersion"
    kind = "provost.orchestrator.v1.FromNewerVersion"
    headers = {**last.headers, "ce-id": "newer", "ce-type": kind, "ce-prevseq": str(last.sequence)}
    return Recorded(last.sequence + 1, subject, headers, b"\xff")


@pytest.mark.parametrize("of", ["its agent", "another", "nobody"])
async def test_it_is_let_go_and_what_is_heard_of_agents_and_subjects_is_heeded(of: str) -> None:
    at = peers()
    at.actuators.gate = asyncio.Event()
    async with house(at) as it:
        asking = asyncio.create_task(it.process(Mode.AUTO))
        await until(lambda: bool(at.actuators.done), "nothing is done")
        (run_id,) = {each.stream.id for each in it.log.recorded()}
        reactor = Reactor(it.runs, it.conductor)
        newer = of_newer_version(it, run_id)
        events = [newer]
        if of != "nobody":
            agent_id = AGENT if of == "its agent" else "sre-2"
            revoked = events_pb2.AgentRevoked(agent_id=agent_id, kind="operator").SerializeToString()
            subject = f"evt.{TENANT}.policy.agent.{agent_id}.AgentRevoked"
            events.append(Recorded(newer.sequence + 1, subject, {"ce-id": "revoked"}, revoked))
        await reactor.take(events)
        it.conductor.agent_weakened(TENANT, AGENT)
        it.conductor.subject_erased(TENANT, "key of a subject")
        with pytest.raises(Unavailable) as told:
            await asking
        assert told.value.reason == "UNREADABLE_EVENT"
        await until(lambda: not it.conductor._carried, "it is still carried")
        if of != "nobody":
            assert await it.conductor.runs_of_revoked(TENANT, agent_id) == 0
        if of != "its agent":
            assert it.crew.reserve(TENANT, AGENT, "another"), "its agent serves nobody any more"
