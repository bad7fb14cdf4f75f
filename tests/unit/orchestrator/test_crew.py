"""Who of the crew is given a run that any of them may have."""

from collections.abc import Mapping
from typing import Any

import pytest

from chassis.eventlog.aggregates import HeldAggregates
from chassis.eventlog.headers import Headers, block
from chassis.eventlog.memory import MemoryLog
from kernel.events import Recorded
from services.orchestrator.domain.run import RUN
from services.orchestrator.handlers.crew import AttachedCrew
from services.orchestrator.reactor import Reactor
from services.orchestrator.wire import EVENTS

TENANT = "default"
AN_EVENTS = {"ce-id": "x"}


class Told:
    """A conductor that passes on what it is told of suspensions."""

    def __init__(self, crew: AttachedCrew) -> None:
        self.agent_suspended = crew.suspend


@pytest.fixture
def crew() -> AttachedCrew:
    made = AttachedCrew(lambda *_: True)
    for agent_id in ("sre-1", "sre-2"):
        made.attach(TENANT, agent_id, "token")
    return made


async def heard(
    crew: AttachedCrew, *event_types: str, payload: bytes = b"", headers: Mapping[str, str] = AN_EVENTS
) -> None:
    conductor: Any = Told(crew)
    reactor = Reactor(HeldAggregates(RUN, MemoryLog(EVENTS), EVENTS), conductor)
    for n, event_type in enumerate(event_types, 1):
        subject = f"evt.{TENANT}.policy.agent.sre-1.{event_type}"
        assert f"evt.*.policy.agent.*.{event_type}" in reactor.filters
        await reactor.take([Recorded(n, subject, headers, payload)])


@pytest.mark.parametrize("payload", [b"", b"\xff"], ids=["read", "unreadable"])
async def test_a_suspended_agent_is_given_none_that_another_may_have(
    crew: AttachedCrew, payload: bytes
) -> None:
    await heard(crew, "AgentSuspended", payload=payload)
    assert crew.reserve_any(TENANT, "r1") == "sre-2"
    assert crew.reserve_any(TENANT, "r2") == ""
    assert crew.reserve(TENANT, "sre-1", "r3"), "its own it is refused by policy, which says why"


async def test_one_that_was_resumed_is_given_runs_again(crew: AttachedCrew) -> None:
    await heard(crew, "AgentSuspended", "AgentResumed")
    assert {crew.reserve_any(TENANT, run_id) for run_id in ("r1", "r2")} == {"sre-1", "sre-2"}


async def test_by_what_is_no_event_nobody_is_suspended_or_resumed(crew: AttachedCrew) -> None:
    await heard(crew, "AgentSuspended")
    twice = Headers(block("ce-id: x\r\nce-actor: key:alice\r\nce-actor: key:alice\r\n"))
    none: Mapping[str, str] = {}
    for headers in (none, twice):
        await heard(crew, "AgentResumed", headers=headers)
    assert [crew.reserve_any(TENANT, run_id) for run_id in ("r1", "r2")] == ["sre-2", ""]


async def test_who_hangs_is_not_counted_though_its_stream_is_open() -> None:
    crew = AttachedCrew(lambda _, agent_id: agent_id.startswith("sre-"))
    for heard_at, agent_id in ((100.0, "sre-1"), (60.0, "sre-2"), (100.0, "guest")):
        crew.attach(TENANT, agent_id, "token").heard_at = heard_at
    assert (crew.heard_since(70.0, built_in=True), crew.heard_since(70.0, built_in=False)) == (1, 1)
    assert crew.heard_since(60.0, built_in=True) == 2
    assert crew.heard_since(101.0, built_in=True) == 0


async def test_a_crew_that_is_suspended_whole_is_not_there(crew: AttachedCrew) -> None:
    crew.suspend(TENANT, "sre-1", True)
    assert crew.present(TENANT)
    crew.suspend(TENANT, "sre-2", True)
    assert not crew.present(TENANT)
    assert AttachedCrew(lambda *_: True).present(TENANT) is False
