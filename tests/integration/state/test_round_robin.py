"""Two processes of state on one machine, asked in turn: none says no for what the other has just written."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest_asyncio

from chassis import process
from chassis.rpc import client
from kernel.events import Cause
from provost.state.v1 import state_pb2 as pb
from provost.state.v1.state_pb2_grpc import StateServiceStub
from services.state.rpc import MAX_MESSAGE_BYTES
from tests.fakes.nats_server import NatsServer
from tests.fakes.valkey_server import ValkeyServer
from tests.integration.state.conftest import Real
from tests.integration.state.process import KEY, StateProcess


@pytest_asyncio.fixture
async def second(
    real: Real, nats_server: NatsServer, valkey_server: ValkeyServer, tmp_path: Path
) -> AsyncIterator[Any]:
    """A stub to another replica, as the first on loopback."""
    home = tmp_path / "second"
    home.mkdir()
    (real.home / "keys").mkdir(exist_ok=True)
    (home / "keys").symlink_to(real.home / "keys")
    other = StateProcess(home, nats_server.url, valkey_server.url)
    try:
        other.start()
        async with client.channel(
            other.address, internal_key=KEY, max_message_bytes=MAX_MESSAGE_BYTES
        ) as channel:
            yield StateServiceStub(channel)
    finally:
        other.stop()


async def ask(stub: Any, method: str, request: Any, *roles: str, actor: str = "service:orchestrator") -> Any:
    """Once: a no for want of what is there is what this is about."""
    if "request_id" in request.DESCRIPTOR.fields_by_name:
        request.request_id = process.new_id()
    cause = Cause("default", "", actor, process.now(), "run-1")
    call = getattr(stub, method)
    return await client.call(call, request, cause, timeout_seconds=20, roles=roles or ("service",))


async def test_asked_in_turn_none_says_no_for_what_the_other_has_just_written(
    real: Real, second: Any
) -> None:
    for n in range(10):
        one, other = (real.stub, second) if n % 2 else (second, real.stub)
        of: dict[str, Any] = {"agent_id": f"agent-{n}", "task_id": f"task-{n}"}
        packet = pb.Packet(objective="find out why the disk is full", **of)
        await ask(one, "IssuePacket", pb.IssuePacketRequest(packet=packet))
        taking = pb.AcquireLockRequest(holder=f"run-{n}", **of)
        token = (await ask(other, "AcquireLock", taking)).lock.fencing_token
        step = pb.AdvanceRequest(run_id=f"run-{n}", phase="PLAN", fencing_token=token, **of)
        await ask(one, "Advance", step)
        put = pb.PutEntryRequest(section="problem", key="k", value="1", **of)
        version = (await ask(other, "PutEntry", put)).entry.version
        put.value, put.expected_version = "2", version
        assert (await ask(one, "PutEntry", put)).entry.version == version + 1
        leaving = pb.ReleaseLockRequest(holder=f"run-{n}", fencing_token=token, **of)
        await ask(other, "ReleaseLock", leaving)
        taking.holder = f"run-{n}-again"
        again = (await ask(one, "AcquireLock", taking)).lock.fencing_token
        assert again > token
        force = pb.ForceReleaseLockRequest(agent_id=of["agent_id"], reason="stop")
        await ask(other, "ForceReleaseLock", force, "operator", actor="key:boss")


async def test_asked_in_turn_none_takes_for_done_what_the_other_has_just_undone(
    real: Real, second: Any
) -> None:
    for agent_id in ("alpha", "beta"):
        await real.locked(agent_id)
    of: dict[str, Any] = {"task_id": "task-1", "agent_id": "beta"}
    for n in range(10):
        sending = pb.SendMessageRequest(
            task_id="task-1", from_agent_id="alpha", to_agent_id="beta", type="STATUS", body=str(n)
        )
        sent = (await ask(real.stub, "SendMessage", sending)).message
        read = pb.AcknowledgeMessagesRequest(message_ids=[sent.message_id], **of)
        assert (await ask(second, "AcknowledgeMessages", read)).sequence > sent.sequence
        put = pb.PutEntryRequest(section="problem", key="k", value="1", **of)
        version = (await ask(second, "PutEntry", put)).entry.version
        put.value = "2"
        await ask(real.stub, "PutEntry", put)
        put.value = "1"
        assert (await ask(second, "PutEntry", put)).entry.version == version + 2
        waiting = pb.Waiting(kind=pb.Waiting.KIND_APPROVAL, what=str(n))
        await ask(
            real.stub, "ReportActivity", pb.ReportActivityRequest(waiting=waiting, run_id="run-beta", **of)
        )
        ended = pb.ReportActivityRequest(run_id="run-beta", **of)
        await ask(second, "ReportActivity", ended)
        shown = pb.GetAgentStateRequest(agent_id="beta")
        assert not (await ask(second, "GetAgentState", shown)).agent.HasField("waiting")
