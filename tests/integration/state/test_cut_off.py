"""Fault 10: a replica of state is cut off from the log while another goes on, both ways and one way."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

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
from services.state.rpc.stale import STALE
from services.state.wire import CODEC
from tests.fakes.nats_server import NatsServer
from tests.fakes.partition import Partition
from tests.fakes.valkey_server import ValkeyServer
from tests.fakes.wait import until
from tests.integration.state.conftest import Real
from tests.integration.state.hasty import STALE_SECONDS
from tests.integration.state.process import KEY, StateProcess

CLOSED = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
HEALTH = health_pb2.HealthCheckResponse
READS: dict[str, Any] = {
    "GetAgentState": pb.GetAgentStateRequest(agent_id="sre-1"),
    "GetPacket": pb.GetPacketRequest(agent_id="sre-1"),
    "ListPackets": pb.ListPacketsRequest(agent_id="sre-1"),
    "ListLocks": pb.ListLocksRequest(),
    "ListStuckAgents": pb.ListStuckAgentsRequest(),
    "GetEntry": pb.GetEntryRequest(task_id="task-1", section="problem", key="cause"),
    "ListEntries": pb.ListEntriesRequest(task_id="task-1"),
    "ListMessages": pb.ListMessagesRequest(task_id="task-1", agent_id="sre-1"),
    "ListCheckpoints": pb.ListCheckpointsRequest(run_id="run-1"),
    "ListTasks": pb.ListTasksRequest(),
    "ListRevocations": pb.ListRevocationsRequest(),
    "GetArtifact": pb.GetArtifactRequest(sha256=hashlib.sha256(b"df -h").hexdigest()),
    "GetCheckpoint": pb.GetCheckpointRequest(run_id="run-1"),
    "GetHandoff": pb.GetHandoffRequest(task_id="task-1"),
}
MISSING = {"GetArtifact", "GetCheckpoint", "GetHandoff"}
"""There may be none of these, here or in this replica's directory: then that is what may be old."""
ASKING = {
    "ListArtifacts": pb.ListArtifactsRequest(task_id="task-1"),
    "GetTask": pb.GetTaskRequest(task_id="task-1"),
}
"""These ask the log each time: an artifact that is missing may cost an agent its power."""
SECONDS = 0.7
"""How long a caller waits for who is cut off."""


class Hasty(StateProcess):
    """Sooner to say that it may be old than the five seconds that it has; otherwise the same."""

    module = "tests.integration.state.hasty"


@asynccontextmanager
async def reached(child: StateProcess, home: Path, store_url: str, events: Connection) -> AsyncIterator[Real]:
    redis = store.connect(store_url)
    try:
        async with client.channel(child.address, internal_key=KEY) as channel:
            yield Real(child, StateServiceStub(channel), events, redis, home)
    finally:
        await redis.aclose()


async def _in_thread(work: Any) -> None:
    # The proxy between state and the log runs on this loop.
    await asyncio.to_thread(work)


async def said_stale(real: Real) -> dict[str, int | None]:
    """Every read there is, asked for anything at all, and for how long each says that it may be old."""
    cause = Cause("default", "", "service:orchestrator", process.now(), "run-1")
    found: dict[str, int | None] = {}
    for method, request in READS.items():
        call = getattr(real.stub, method)(request, metadata=metadata_of(cause), timeout=10)
        expected = {grpc.StatusCode.OK} | ({grpc.StatusCode.NOT_FOUND} if method in MISSING else set())
        assert await call.code() in expected, (method, await call.details())
        found[method] = _stale_in(await call.trailing_metadata())
    watch = real.stub.Watch(pb.WatchRequest(), metadata=metadata_of(cause), timeout=10)
    assert (await watch.read()).snapshot_complete
    found["Watch"] = _stale_in(await watch.initial_metadata())
    watch.cancel()
    return found


def _stale_in(metadata: Any) -> int | None:
    said = dict(metadata or ()).get(STALE)
    return None if said is None else int(said)


async def health(real: Real) -> int:
    async with grpc.aio.insecure_channel(real.process.address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        return int((await stub.Check(health_pb2.HealthCheckRequest(), timeout=10)).status)


def is_now(status: int, real: Real) -> Callable[[], Awaitable[bool]]:
    async def fact() -> bool:
        return await health(real) == status

    return fact


def says_stale(real: Real) -> Callable[[], Awaitable[bool]]:
    async def fact() -> bool:
        return None not in (await said_stale(real)).values()

    return fact


def is_fresh(real: Real) -> Callable[[], Awaitable[bool]]:
    async def fact() -> bool:
        return set((await said_stale(real)).values()) == {None}

    return fact


def test_no_read_is_forgotten() -> None:
    methods = pb.DESCRIPTOR.services_by_name["StateService"].methods
    assert {*READS, *ASKING} == {each.name for each in methods if each.name.startswith(("Get", "List"))}


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
        run_id=f"run-{agent_id}",
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
        children = [
            kind(home, url, valkey_server.url)
            for kind, home, url in zip((Hasty, StateProcess), homes, urls, strict=True)
        ]
        for child in children:
            stack.push_async_callback(_in_thread, child.stop)
        await asyncio.gather(*(_in_thread(child.start) for child in children))
        cut, whole = [
            await stack.enter_async_context(reached(child, home, valkey_server.url, events))
            for child, home in zip(children, homes, strict=True)
        ]
        taken, own = await cut.locked("sre-1"), await cut.locked("sre-2")
        await cut.ask("Advance", step(taken, "sre-1", "before"), "sre-1-before")
        entry = pb.PutEntryRequest(
            task_id="task-1", section="problem", key="cause", value="1", agent_id="sre-1"
        )
        await cut.ask("PutEntry", entry)
        artifact = pb.PutArtifactRequest(
            task_id="task-1", run_id="run-1", name="disk", media_type="text/plain", content=b"df -h"
        )
        await cut.ask("PutArtifact", artifact)
        assert await health(cut) == HEALTH.SERVING
        assert set((await said_stale(cut)).values()) == {None}

        link.cut(forth=way != "what it hears", back=way != "what it says")
        # Writes fail closed: the one whose lock is taken meanwhile, and the one that nobody else touches.
        late = step(taken, "sre-1", "late"), step(own, "sre-2", "late")
        await asyncio.gather(*(refused_now(cut, "Advance", each) for each in late))
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
        # A read that need not know of it is answered as ever, and says that it may be old; so does health.
        await until(is_now(HEALTH.NOT_SERVING, cut), "who is cut off says that it is well")
        await until(says_stale(cut), "who is cut off does not say that it may be old")
        told = await said_stale(cut)
        assert all(seconds is not None and seconds >= int(STALE_SECONDS) for seconds in told.values()), told
        await asyncio.gather(*(refused_now(cut, method, request) for method, request in ASKING.items()))
        old = await cut.ask("GetAgentState", READS["GetAgentState"])
        if way != "what it says":  # it may have heard of it all the same
            assert old.agent.lock.holder == "run-sre-1"
        assert set((await said_stale(whole)).values()) == {None}

        link.heal()
        assert (await cut.ask("GetAgentState", look)).agent.lock.holder == "run-2"
        await until(is_now(HEALTH.SERVING, cut), "who is back says that it is not well")
        await until(is_fresh(cut), "who is back says that it may be old")
        # What was cut off is sent again with its id: done once, or refused because the lock is another's by now.
        arrived = way == "what it hears"
        if arrived:
            await cut.ask("Advance", step(taken, "sre-1", "late"), "sre-1-late")
        else:
            with pytest.raises(Refused) as caught:
                await cut.ask("Advance", step(taken, "sre-1", "late"), "sre-1-late")
            assert caught.value.reason == "FENCING_TOKEN_STALE"
        await cut.ask("Advance", step(own, "sre-2", "late"), "sre-2-late")
        assert await written(events, "sre-1") == ["before", *(["late"] if arrived else [])]
        assert await written(events, "sre-2") == ["late"]
        for each in (cut, whole):
            assert (await each.verify()).equal
