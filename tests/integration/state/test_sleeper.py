"""Fault 11: who holds a lock is stopped past its lease, and woken when somebody else has it."""

import asyncio
import os
import signal
import sys

import pytest

from chassis.eventlog.jetstream import JetStreamLog
from kernel.events import Stream
from provost.state.v1 import events_pb2
from provost.state.v1 import state_pb2 as pb
from services.state.wire import CODEC
from tests.integration.state.conftest import Real

LEASE_SECONDS = 1


@pytest.mark.timeout(60)
async def test_a_holder_that_slept_past_its_lease_is_refused_and_that_is_recorded(real: Real) -> None:
    packet = pb.Packet(agent_id="sre-1", task_id="task-1", objective="find out why the disk is full")
    await real.ask("IssuePacket", pb.IssuePacketRequest(packet=packet))
    holder = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.integration.state.holder",
        real.process.address,
        str(LEASE_SECONDS),
        stdout=asyncio.subprocess.PIPE,
    )
    said = holder.stdout
    assert said is not None
    try:
        token = int(await said.readline())
        while (await said.readline()) != b"step-3\n":
            assert holder.returncode is None, "the holder has ended"
        os.kill(holder.pid, signal.SIGSTOP)
        request = pb.AcquireLockRequest(
            agent_id="sre-1", task_id="task-1", holder="run-2", lease_seconds=60, wait_seconds=15
        )
        taken = (await real.ask("AcquireLock", request)).lock
        assert (taken.holder, taken.fencing_token > token) == ("run-2", True)
        os.kill(holder.pid, signal.SIGCONT)
        rest = (await asyncio.wait_for(said.read(), 15)).split()
        assert rest[-1] == b"FENCING_TOKEN_STALE"
    finally:
        if holder.returncode is None:
            holder.kill()
        await holder.wait()

    log = JetStreamLog(real.events, CODEC, source="provost/test")
    events = await log.load(Stream("default", "state", "agent", "sre-1"))
    after = [each for each in events if each.sequence > taken.fencing_token]
    refused = [
        events_pb2.StaleTokenRefused.FromString(each.payload)
        for each in after
        if each.event_type == "StaleTokenRefused"
    ]
    assert [(each.presented_token, each.current_token, each.by) for each in refused] == [
        (token, taken.fencing_token, "service:holder")
    ]
    assert not any(each.event_type == "AgentAdvanced" for each in after), "it was let in after all"
    agent = (await real.ask("GetAgentState", pb.GetAgentStateRequest(agent_id="sre-1"))).agent
    assert agent.lock.holder == "run-2"
    assert (await real.verify()).equal
