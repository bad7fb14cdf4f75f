"""A request id that comes again: the same request is answered as before, and another is refused."""

import asyncio
from typing import Any, NamedTuple

import pytest

from chassis.eventlog.memory import MemoryLog
from kernel.faults import Unavailable
from services.orchestrator.domain.faults import RequestIdReused
from services.orchestrator.domain.phases import RunState
from services.orchestrator.domain.records import Constraints, ErrorBudget, Mode, Packet, Strategy
from services.orchestrator.handlers.orchestrator import RunView
from services.orchestrator.wire import EVENTS
from tests.unit.orchestrator.doors import NOW
from tests.unit.orchestrator.house import AGENT, LOG, TENANT, House, cause, house, peers

OTHER = LOG.replace(b"4242", b"4243")
"""Of the same size, with as many lines."""


class AskedLog(NamedTuple):
    log: bytes = LOG
    mode: Mode = Mode.SAFE
    strategy: Strategy = Strategy.REFLECTIVE
    include_trace: bool = True
    agent_id: str = ""
    forbidden: tuple[str, ...] = ()
    subject: str = ""

    async def of(self, it: House) -> RunView:
        return await it.orchestrator.process_log(*self, cause())


class AskedStart(NamedTuple):
    agent_id: str = AGENT
    task_id: str = "t1"
    objective: str = "look"
    mode: Mode = Mode.SAFE
    packet: Packet | None = None
    subject: str = ""

    async def of(self, it: House) -> RunView:
        return await it.orchestrator.start_run(*self, cause())


LOG_ASKED, START_ASKED = AskedLog(), AskedStart()
PACKET = Packet(AGENT, "t1", "key:op", "look", (), Constraints(), (), ErrorBudget(), (), NOW)


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (LOG_ASKED, LOG_ASKED._replace(log=OTHER)),
        (LOG_ASKED, LOG_ASKED._replace(log=LOG + LOG)),
        (LOG_ASKED, LOG_ASKED._replace(mode=Mode.ASSISTED)),
        (LOG_ASKED, LOG_ASKED._replace(strategy=Strategy.CLASSIC)),
        (LOG_ASKED, LOG_ASKED._replace(include_trace=False)),
        (LOG_ASKED, LOG_ASKED._replace(agent_id=AGENT)),
        (LOG_ASKED, LOG_ASKED._replace(forbidden=("service.restart",))),
        (LOG_ASKED, LOG_ASKED._replace(subject="customer-4711")),
        (LOG_ASKED, START_ASKED),
        (START_ASKED, LOG_ASKED),
        (START_ASKED, START_ASKED._replace(agent_id="sre-2")),
        (START_ASKED, START_ASKED._replace(task_id="t2")),
        (START_ASKED, START_ASKED._replace(objective="mend")),
        (START_ASKED, START_ASKED._replace(objective="")),
        (START_ASKED, START_ASKED._replace(mode=Mode.AUTO)),
        (START_ASKED, START_ASKED._replace(packet=PACKET)),
        (START_ASKED, START_ASKED._replace(subject="customer-4711")),
    ],
)
async def test_another_request_under_the_same_id_is_refused(
    first: AskedLog | AskedStart, then: AskedLog | AskedStart
) -> None:
    at = peers()
    at.policy.known.add("sre-2")
    async with house(at) as it:
        before = await first.of(it)
        with pytest.raises(RequestIdReused) as refused:
            await then.of(it)
        assert (refused.value.reason, refused.value.facts["field"]) == ("FIELD_INVALID", "request_id")
        assert (await first.of(it)).run.known == before.run.known


@pytest.mark.parametrize(
    "asked",
    [
        LOG_ASKED,
        AskedLog(LOG + b"\xff password=hunter2", Mode.SAFE, Strategy.CLASSIC, False, AGENT, ("a",), "ann"),
        START_ASKED,
        START_ASKED._replace(objective=""),
        START_ASKED._replace(packet=PACKET, subject="ann"),
    ],
)
async def test_the_same_request_is_answered_as_before_also_after_a_restart(
    asked: AskedLog | AskedStart,
) -> None:
    at, log = peers(), MemoryLog(EVENTS)
    async with house(at, log) as it:
        began = (await asked.of(it)).run.known
    async with house(at, log) as it:
        assert (await asked.of(it)).run.known == began


async def test_what_cannot_be_read_any_more_is_not_compared() -> None:
    at = peers()
    async with house(at) as it:
        run = (await LOG_ASKED.of(it)).run
        kept = dict(at.state.artifacts)
        at.state.artifacts.clear()
        assert (await LOG_ASKED._replace(log=OTHER).of(it)).run == run
        at.state.artifacts.update(kept)
        at.outage.at = {at.outage.calls + 1}
        assert (await LOG_ASKED.of(it)).run == run
        at.keys.erase(TENANT, run.known.subject_key)
        assert (await LOG_ASKED.of(it)).run == run
        assert not at.keys.held, "an erased subject got a key, to be told of what was erased"
        with pytest.raises(RequestIdReused):
            await LOG_ASKED._replace(mode=Mode.AUTO).of(it)


async def test_a_log_that_was_stored_and_began_no_run_is_the_one_of_its_id() -> None:
    at, log = peers(), MemoryLog(EVENTS)
    async with house(at, log) as it:
        log.fail_next()
        with pytest.raises(Unavailable):
            await LOG_ASKED.of(it)
        for other in (LOG_ASKED._replace(log=OTHER), LOG_ASKED._replace(subject="ann")):
            with pytest.raises(RequestIdReused):
                await other.of(it)
        assert (await LOG_ASKED.of(it)).run.state is RunState.COMPLETED


@pytest.mark.parametrize("other", [LOG_ASKED._replace(log=OTHER), LOG_ASKED._replace(mode=Mode.AUTO)])
async def test_of_two_requests_at_once_under_one_id_one_begins_whichever_replica_has_it(
    other: AskedLog,
) -> None:
    at, log = peers(), MemoryLog(EVENTS)
    put, both, waiting = at.state.put_artifact, asyncio.Event(), 0

    async def together(content: bytes, name: str, *more: Any) -> str:
        nonlocal waiting
        if name == "log.txt":
            waiting += 1
            if waiting == 2:
                both.set()
            await both.wait()
        return await put(content, name, *more)

    at.state.put_artifact = together  # type: ignore[method-assign,assignment]
    async with house(at, log) as it, house(at, log) as there:
        answers = await asyncio.gather(LOG_ASKED.of(it), other.of(there), return_exceptions=True)
        refused = [each for each in answers if isinstance(each, RequestIdReused)]
        (begun,) = (each for each in answers if isinstance(each, RunView))
        assert len(refused) == 1
        assert begun.run.state is RunState.COMPLETED
    assert [each.event_type for each in log.recorded()].count("RunStarted") == 1
