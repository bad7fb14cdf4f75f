"""What starts a run, what starts none, and who sees it."""

import asyncio
import bz2
import gzip
import lzma
from dataclasses import replace
from typing import Any

import pytest

from chassis.eventlog.memory import MemoryLog
from kernel.events import Cause
from kernel.faults import NotFound, Unavailable
from services.orchestrator.domain.faults import LogCompressed, LogEmpty, LogTooLarge, RunUnknown
from services.orchestrator.domain.phases import RunState
from services.orchestrator.domain.records import Mode, Proposal, ReasoningCycle, Strategy
from services.orchestrator.handlers import AttachedCrew
from services.orchestrator.handlers.carrying import StepLimits
from services.orchestrator.handlers.reading import read_log
from services.orchestrator.ports.crew import Task
from services.orchestrator.wire import EVENTS
from tests.fakes.wait import until
from tests.unit.orchestrator.doors import NOW
from tests.unit.orchestrator.house import AGENT, LOG, TENANT, cause, ended, house, peers, proposal


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
    assert not any(b"hunter2" in recorded.payload for recorded in it.log.recorded())


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-16-le", "utf-16-be", "utf-32-be"])
async def test_a_log_with_a_mark_of_its_encoding_is_read_in_it(encoding: str) -> None:
    marked = ("" if encoding.count("-") == 1 else "\ufeff") + LOG.decode() + "password=hunter2\n"
    at = peers()
    async with house(at) as it:
        view = await it.process(Mode.SAFE, log=marked.encode(encoding))
    source = view.run.known.source
    assert source is not None
    assert (source.replaced_bytes, source.redactions) == (0, {"assigned_secret": 1})
    assert view.run.incident is not None
    assert view.run.incident.cause == "memory_exhausted"


@pytest.mark.parametrize(
    "log", [b"\xff\xfepassword=hunter2", b"\xff\xfep\0a", b"\xff\xfe\0\0 password=hunter2"]
)
def test_a_mark_before_something_else_hides_no_secret(log: bytes) -> None:
    read = read_log(log)
    assert read.replaced_bytes == 2
    assert "hunter2" not in read.text


COMPRESSED = {
    "gzip": gzip.compress(LOG),
    "zstd": b"\x28\xb5\x2f\xfd\x24\x00",
    "xz": lzma.compress(LOG),
    "bzip2": bz2.compress(LOG),
    "zip": b"PK\x03\x04\x14\x00",
}


@pytest.mark.parametrize("form", COMPRESSED)
async def test_a_compressed_log_is_refused_and_it_is_said_what_to_do(form: str) -> None:
    at = peers()
    async with house(at) as it:
        with pytest.raises(LogCompressed, match=rf"compressed \({form}\): decompress it first") as refused:
            await it.process(Mode.SAFE, log=COMPRESSED[form])
        assert it.log.recorded() == []
    assert refused.value.reason == "FIELD_INVALID"


async def test_without_a_packet_the_run_is_refused() -> None:
    at = peers()
    async with house(at) as it:
        view = await it.orchestrator.start_run(AGENT, "t1", "", Mode.SAFE, None, "", cause())
        await ended(it, view.run.known.run_id)
        run = it.runs.current(TENANT, view.run.known.run_id)
    assert (run.state, run.reason) == (RunState.REFUSED, "NO_INSTRUCTION_PACKET")


async def test_an_agent_that_gives_its_plan_no_score_is_told_with_the_outcome() -> None:
    def think(task: Task) -> Proposal:
        cycle = ReasoningCycle(1, "nothing in it is known here", "", (), 0.0, "", "")
        return replace(proposal(task), cycles=(cycle,))

    async with house(peers(), think=think) as it:
        view = await it.orchestrator.start_run(AGENT, "t1", "order a pizza", Mode.SAFE, None, "", cause())
        await ended(it, view.run.known.run_id)
        run = it.runs.current(TENANT, view.run.known.run_id)
        run = await it.privacy.opened(TENANT, view.run.known.subject_key, run)
        of_log = await it.process(Mode.SAFE, "another")
    assert run.state is RunState.COMPLETED
    assert run.outcome.endswith("nothing outside was changed; nothing in it is known here")
    assert "known here" not in of_log.run.outcome


async def test_a_lock_somebody_else_holds_refuses_the_run() -> None:
    at = peers()
    at.state.lock[AGENT] = ("another-run", 7)
    async with house(at) as it:
        view = await it.process(Mode.SAFE)
    assert (view.run.state, view.run.reason) == (RunState.REFUSED, "CANNOT_ACQUIRE_LOCK")


async def test_a_revoked_agent_does_not_start() -> None:
    at = peers()
    at.policy.revoked[AGENT] = "operator"
    async with house(at) as it:
        view = await it.process(Mode.SAFE)
    assert (view.run.state, view.run.reason) == (RunState.REFUSED, "AGENT_PREVIOUSLY_REVOKED")
    assert at.state.advanced == []


@pytest.mark.parametrize("details", ["let me look", f"agent {AGENT} was revoked: let me look"])
async def test_whose_agent_was_revoked_before_it_began_is_told_which_and_why(details: str) -> None:
    at = peers()
    async with house(at) as it:
        it.conductor.agent_revoked(TENANT, AGENT, "operator", details)
        view = await it.orchestrator.start_run(AGENT, "t1", "look", Mode.SAFE, None, "", cause())
        await ended(it, view.run.known.run_id)
        run = it.runs.current(TENANT, view.run.known.run_id)
        run = await it.privacy.opened(TENANT, view.run.known.subject_key, run)
    assert (run.state, run.reason) == (RunState.REFUSED, "AGENT_PREVIOUSLY_REVOKED")
    assert run.outcome == f"agent {AGENT} was revoked: let me look"


async def test_a_suspended_agent_does_not_start_and_it_is_said_why() -> None:
    at = peers()
    at.policy.suspended[AGENT] = "let me look"
    async with house(at) as it:
        view = await it.process(Mode.SAFE)
    assert (view.run.state, view.run.reason) == (RunState.REFUSED, "AGENT_SUSPENDED")
    assert "let me look" in view.run.outcome
    assert at.state.advanced == []


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


async def test_a_request_that_comes_late_takes_no_agent_from_others() -> None:
    at, log = peers(), MemoryLog(EVENTS)
    late, put = asyncio.Event(), at.state.put_artifact

    async def slowly(content: bytes, name: str, *more: Any) -> str:
        if name == "log.txt" and late in waited:
            waited.remove(late)
            await late.wait()
        return await put(content, name, *more)

    waited = [late]
    async with house(at, log) as it, house(at, log) as other:
        other.crew.detach(other.crew.attach(TENANT, AGENT, "token"), Unavailable("PEER_UNREACHABLE", "gone"))
        other.crew._is_crew = lambda _, agent: agent == "sre-2"
        other.crew.attach(TENANT, "sre-2", "token")
        at.state.put_artifact = slowly  # type: ignore[method-assign,assignment]
        asked = asyncio.create_task(other.process(Mode.SAFE))
        await until(lambda: not waited, "it does not begin")
        assert (await it.process(Mode.SAFE)).run.agent_id == AGENT
        late.set()
        assert (await asked).run.agent_id == AGENT
        assert other.crew.reserve_any(TENANT, "another") == "sre-2", "it is busy with a run of another's"


async def test_an_agent_that_comes_free_for_a_run_that_ended_elsewhere_is_free_for_others() -> None:
    at, log, limits = peers(), MemoryLog(EVENTS), StepLimits(crew_seconds=30)
    async with house(at, log, limits=limits) as it, house(at, log, limits=limits) as other:
        it.conductor.agent_suspended(TENANT, AGENT, True)
        waiting = asyncio.create_task(it.process(Mode.SAFE))
        await until(lambda: bool(it.conductor._carried), "it is not carried")
        (_, task), *_ = it.conductor._carried.values()
        assert (await other.process(Mode.SAFE)).run.state is RunState.COMPLETED
        await waiting
        it.crew._is_crew = lambda _, agent: agent == "sre-2"
        it.crew.attach(TENANT, "sre-2", "token")
        await asyncio.wait_for(task, 10)
        assert it.crew.reserve(TENANT, "sre-2", "another"), "it is busy with a run that is over"


async def test_a_run_that_no_agent_will_ever_take_ends() -> None:
    async with house(peers()) as at:
        asked = Cause("elsewhere", "r1", "key:op", NOW)
        view = await at.orchestrator.process_log(LOG, Mode.SAFE, Strategy.CLASSIC, True, "", (), "", asked)
        assert (view.run.state, view.run.reason) == (RunState.REFUSED, "NO_AGENT_FREE")


async def test_a_run_whose_agent_is_attached_nowhere_ends_however_often_it_is_asked_for() -> None:
    at = peers()
    at.policy.known.add("slow-1")
    async with house(at) as it:
        view = await it.orchestrator.start_run("slow-1", "t1", "look", Mode.SAFE, None, "", cause())
        run_id = view.run.known.run_id
        async with asyncio.timeout(10):
            while not it.runs.current(TENANT, run_id).over:
                it.conductor.nudge(TENANT, run_id)
                await asyncio.sleep(0)
        run = await it.privacy.opened(TENANT, view.run.known.subject_key, it.runs.current(TENANT, run_id))
    assert (run.state, run.reason) == (RunState.REFUSED, "NO_AGENT_FREE")
    assert "agent slow-1 is attached nowhere" in run.outcome
    assert at.state.advanced == []


@pytest.mark.parametrize("where", ["here, busy", "elsewhere"])
async def test_a_run_waits_for_an_agent_that_is_attached(where: str) -> None:
    at = peers()
    at.policy.known.add("slow-1")
    async with house(at) as it:
        if where == "elsewhere":
            it.crew.elsewhere = lambda _, agent: agent == "slow-1"
        else:
            it.crew.attach(TENANT, "slow-1", "token")
            assert it.crew.reserve(TENANT, "slow-1", "another")
        at.policy.known.add("gone-1")
        started = [
            await it.orchestrator.start_run(agent, agent, "look", Mode.SAFE, None, "", cause(agent))
            for agent in ("slow-1", "gone-1")
        ]
        waits, refused = (view.run.known.run_id for view in started)
        await ended(it, refused)  # it began to wait later
        assert not it.runs.current(TENANT, waits).over


async def test_another_tenant_sees_nothing() -> None:
    at = peers()
    async with house(at) as it:
        view = await it.process(Mode.SAFE)
        with pytest.raises(RunUnknown):
            await it.orchestrator.get_run("other", view.run.known.run_id, 0)
        assert await it.orchestrator.list_runs("other", None, "", 10) == ([], "")
