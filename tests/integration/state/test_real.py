"""State as a process: killed, its store emptied, its log restarted, and nothing acknowledged is lost."""

import asyncio
import hashlib

import pytest

from chassis.eventlog.stream import read_at, stream_state
from kernel.faults import Conflict, Refused
from provost.state.v1 import state_pb2 as pb
from services.state.domain.lock import AgentAdvanced, StaleTokenRefused
from services.state.wire import CODEC
from tests.fakes.nats_server import NatsServer
from tests.fakes.valkey_server import ValkeyServer
from tests.fakes.wait import until
from tests.integration.state.conftest import Real

AGENTS = [f"sre-{n}" for n in range(1, 9)]


async def steps_in_the_log(real: Real) -> dict[str, list[str]]:
    """Every step of every agent, as the log has it."""
    found: dict[str, list[str]] = {agent: [] for agent in AGENTS}
    for sequence in range(1, (await stream_state(real.events)).last + 1):
        recorded = await read_at(real.events, sequence)
        assert recorded is not None
        if recorded.event_type == "SigningKeyAnnounced":
            continue
        event = CODEC.decode(recorded).event
        if isinstance(event, AgentAdvanced):
            found[event.agent_id].append(event.step)
    return found


async def test_killed_in_the_middle_of_load_nothing_acknowledged_is_lost_and_nothing_is_done_twice(
    real: Real,
) -> None:
    tokens = {agent: await real.locked(agent) for agent in AGENTS}
    acknowledged: dict[str, list[str]] = {agent: [] for agent in AGENTS}
    enough = asyncio.Event()

    async def work(agent: str) -> None:
        for n in range(10_000):
            if enough.is_set():
                return
            # The same request id whenever the same step is tried again, as the orchestrator does.
            await real.advance(tokens[agent], f"s{n}", agent, request_id=f"{agent}-s{n}")
            acknowledged[agent].append(f"s{n}")

    workers = [asyncio.create_task(work(agent)) for agent in AGENTS]
    for _ in range(3):
        goal = sum(map(len, acknowledged.values())) + 150
        while sum(map(len, acknowledged.values())) < goal:
            await asyncio.wait(workers, timeout=0.01, return_when=asyncio.FIRST_COMPLETED)
            assert not any(worker.done() and worker.exception() for worker in workers)
        real.process.kill()
        await asyncio.to_thread(real.process.start)
    enough.set()
    await asyncio.gather(*workers)

    stored = await steps_in_the_log(real)
    assert stored == acknowledged
    verdict = await real.verify()
    assert (verdict.equal, verdict.at_sequence) == (True, (await stream_state(real.events)).last)
    agent = (await real.ask("GetAgentState", pb.GetAgentStateRequest(agent_id="sre-1"))).agent
    assert (agent.step, agent.lock.fencing_token) == (acknowledged["sre-1"][-1], tokens["sre-1"])


async def test_flushall_gains_nobody_a_lock_and_the_store_comes_back_equal(real: Real) -> None:
    token = await real.locked()
    await real.advance(token, "s1")
    await real.store.flushall()
    thief = pb.AcquireLockRequest(agent_id="sre-1", task_id="task-1", holder="thief", lease_seconds=30)
    with pytest.raises(Conflict):
        await real.ask("AcquireLock", thief)
    assert (await real.ask("GetAgentState", pb.GetAgentStateRequest(agent_id="sre-1"))).agent.step == "s1"
    assert (await real.verify()).equal


async def test_everything_killed_and_the_store_deleted(real: Real, nats_server: NatsServer) -> None:
    token = await real.locked()
    sequence = await real.advance(token, "s1")
    content = b"a report"
    await real.ask(
        "PutArtifact",
        pb.PutArtifactRequest(task_id="task-1", name="r", media_type="text/plain", content=content),
    )
    before = await real.verify()
    real.process.kill()
    nats_server.kill()
    await real.store.flushall()
    nats_server.start()
    await asyncio.to_thread(real.process.start)
    after = await real.verify()
    assert (after.equal, after.log_hash, after.at_sequence) == (True, before.log_hash, before.at_sequence)
    agent = (await real.ask("GetAgentState", pb.GetAgentStateRequest(agent_id="sre-1"))).agent
    assert (agent.step, agent.sequence) == ("s1", sequence)
    sha256 = hashlib.sha256(content).hexdigest()
    assert (await real.ask("GetArtifact", pb.GetArtifactRequest(sha256=sha256))).content == content
    assert await real.advance(token, "s2") > sequence


async def test_a_token_that_slept_through_a_restart_is_refused_and_recorded(real: Real) -> None:
    slept = await real.locked(lease_seconds=1)
    taken = 0

    async def another() -> bool:
        nonlocal taken
        request = pb.AcquireLockRequest(agent_id="sre-1", task_id="task-1", holder="run-2", lease_seconds=60)
        try:
            taken = (await real.ask("AcquireLock", request)).lock.fencing_token
        except Conflict:
            return False
        return True

    await until(another, "the lease did not run out")
    real.process.kill()
    await asyncio.to_thread(real.process.start)
    with pytest.raises(Refused) as caught:
        await real.advance(slept, "late")
    assert caught.value.reason == "FENCING_TOKEN_STALE"
    last = await read_at(real.events, (await stream_state(real.events)).last)
    assert last is not None
    event = CODEC.decode(last).event
    assert isinstance(event, StaleTokenRefused)
    assert (event.presented_token, event.current_token) == (slept, taken)
    assert await real.advance(taken, "mine", run_id="run-2") > last.sequence


async def test_the_store_killed_under_load_costs_no_write(
    real: Real, valkey_server: ValkeyServer, nats_server: NatsServer
) -> None:
    token = await real.locked()
    for n in range(30):
        if n == 10:
            valkey_server.kill()
        if n == 20:
            valkey_server.start()
        await real.advance(token, f"s{n}")
    assert (await real.ask("GetAgentState", pb.GetAgentStateRequest(agent_id="sre-1"))).agent.step == "s29"
    assert (await real.verify()).equal
    nats_server.kill()
    nats_server.start()
    await real.advance(token, "after")
    assert (await real.verify()).equal
