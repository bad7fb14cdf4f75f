"""Fault 10: a replica of state is cut off from the log while another goes on, both ways and one way."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from chassis import process, store
from chassis.eventlog.jetstream import JetStreamLog
from chassis.eventlog.wire import Connection
from chassis.rpc import client
from chassis.rpc.cause import metadata_of
from kernel.events import Cause, Stream
from kernel.faults import Refused
from provost.state.v1 import events_pb2
from provost.state.v1 import state_pb2 as pb
from provost.state.v1.state_pb2_grpc import StateServiceStub
from services.state.wire import CODEC
from tests.fakes.nats_server import NatsServer
from tests.fakes.partition import Partition
from tests.fakes.valkey_server import ValkeyServer
from tests.integration.state.conftest import Real
from tests.integration.state.process import KEY, StateProcess

CLOSED = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
SECONDS = 1.5
"""How long a caller waits for who is cut off."""


@asynccontextmanager
async def replica(home: Path, nats_url: str, store_url: str, events: Connection) -> AsyncIterator[Real]:
    child = StateProcess(home, nats_url, store_url)
    await _in_thread(child.start)
    redis = store.connect(store_url)
    try:
        async with client.channel(child.address, internal_key=KEY) as channel:
            yield Real(child, StateServiceStub(channel), events, redis, home)
    finally:
        await _in_thread(child.stop)
        await redis.aclose()


async def _in_thread(work: Any) -> None:
    # The proxy between state and the log runs on this loop.
    await asyncio.to_thread(work)


async def refused_now(real: Real, method: str, request: Any) -> None:
    """Asked once, with a deadline: no answer is a right one."""
    cause = Cause("default", "", "service:orchestrator", process.now(), "run-1")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await getattr(real.stub, method)(request, metadata=metadata_of(cause), timeout=SECONDS)
    assert caught.value.code() in CLOSED


def step(token: int, agent_id: str, name: str) -> pb.AdvanceRequest:
    return pb.AdvanceRequest(
        request_id=f"{agent_id}-{name}",
        agent_id=agent_id,
        task_id="task-1",
        run_id="run-1",
        phase="EXECUTE",
        step=name,
        fencing_token=token,
    )


async def written(events: Connection, agent_id: str) -> list[str]:
    """The steps of the agent, as the log has them."""
    found = await JetStreamLog(events, CODEC, "provost/test").load(
        Stream("default", "state", "agent", agent_id)
    )
    return [
        events_pb2.AgentAdvanced.FromString(each.payload).step
        for each in found
        if each.event_type == "AgentAdvanced"
    ]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("way", ["both ways", "what it says", "what it hears"])
async def test_fault_10_cut_off_it_answers_nothing_wrong_and_nothing_is_done_twice(
    nats_server: NatsServer, events: Connection, valkey_server: ValkeyServer, tmp_path: Path, way: str
) -> None:
    redis = store.connect(valkey_server.url)
    await redis.flushall()
    await redis.aclose()
    async with AsyncExitStack() as stack:
        link = await stack.enter_async_context(Partition(nats_server.port).standing())
        homes = [tmp_path / "cut", tmp_path / "whole"]
        for home in homes:
            home.mkdir()
        (homes[0] / "keys").mkdir()
        (homes[1] / "keys").symlink_to(homes[0] / "keys")
        urls = (f"nats://127.0.0.1:{link.port}", nats_server.url)
        cut, whole = [
            await stack.enter_async_context(replica(home, url, valkey_server.url, events))
            for home, url in zip(homes, urls, strict=True)
        ]
        taken, own = await cut.locked("sre-1"), await cut.locked("sre-2")
        await cut.ask("Advance", step(taken, "sre-1", "before"), "sre-1-before")

        link.cut(forth=way != "what it hears", back=way != "what it says")
        # Writes fail closed: the one whose lock is taken meanwhile, and the one that nobody else touches.
        await refused_now(cut, "Advance", step(taken, "sre-1", "late"))
        await refused_now(cut, "Advance", step(own, "sre-2", "late"))
        force = pb.ForceReleaseLockRequest(agent_id="sre-1", reason="its replica is cut off")
        await whole.ask("ForceReleaseLock", force, roles=("operator",))
        lock = pb.AcquireLockRequest(
            agent_id="sre-1", task_id="task-1", holder="run-2", lease_seconds=60, wait_seconds=15
        )
        held = (await whole.ask("AcquireLock", lock)).lock
        # A read that must know of it says that it does not.
        look = pb.GetAgentStateRequest(agent_id="sre-1", at_least_sequence=held.fencing_token)
        await refused_now(cut, "GetAgentState", look)
        assert (await whole.ask("GetAgentState", look)).agent.lock.holder == "run-2"

        link.heal()
        assert (await cut.ask("GetAgentState", look)).agent.lock.holder == "run-2"
        # What was cut off is sent again with its id: done once, or refused because the lock is another's by now.
        reached = way == "what it hears"
        if reached:
            await cut.ask("Advance", step(taken, "sre-1", "late"), "sre-1-late")
        else:
            with pytest.raises(Refused) as caught:
                await cut.ask("Advance", step(taken, "sre-1", "late"), "sre-1-late")
            assert caught.value.reason == "FENCING_TOKEN_STALE"
        await cut.ask("Advance", step(own, "sre-2", "late"), "sre-2-late")
        assert await written(events, "sre-1") == ["before", *(["late"] if reached else [])]
        assert await written(events, "sre-2") == ["late"]
        for each in (cut, whole):
            assert (await each.verify()).equal
