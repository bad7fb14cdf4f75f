"""A real nats-server and a real store, both empty, and state as a process over them."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest_asyncio
from redis.asyncio import Redis

from chassis import process, store
from chassis.eventlog.wire import Connection
from chassis.rpc import client
from kernel.events import Cause
from provost.state.v1 import state_pb2 as pb
from provost.state.v1.state_pb2_grpc import StateServiceStub
from services.state.rpc import MAX_MESSAGE_BYTES
from tests.fakes.nats_server import NatsServer, events, nats_server
from tests.fakes.valkey_server import ValkeyServer, valkey_server
from tests.integration.state.process import KEY, StateProcess

__all__ = ["events", "nats_server", "valkey_server"]


@dataclass
class Real:
    """The process, a stub to it, and what lies under it."""

    process: StateProcess
    stub: Any
    events: Connection
    store: Redis
    home: Path

    async def ask(self, method: str, request: Any, request_id: str = "", **metadata: Any) -> Any:
        """One call as the orchestrator makes it; tried again while state is away."""
        if "request_id" in request.DESCRIPTOR.fields_by_name:
            request.request_id = request_id or process.new_id()
        cause = Cause("default", "", "service:orchestrator", process.now(), "run-1")
        return await client.call(getattr(self.stub, method), request, cause, timeout_seconds=20, **metadata)

    async def locked(self, agent_id: str = "sre-1", lease_seconds: int = 60) -> int:
        """An agent with a packet and a lock; its token."""
        packet = pb.Packet(agent_id=agent_id, task_id="task-1", objective="find out why the disk is full")
        await self.ask("IssuePacket", pb.IssuePacketRequest(packet=packet))
        request = pb.AcquireLockRequest(
            agent_id=agent_id, task_id="task-1", holder=f"run-{agent_id}", lease_seconds=lease_seconds
        )
        return int((await self.ask("AcquireLock", request)).lock.fencing_token)

    async def advance(
        self, token: int, step: str, agent_id: str = "sre-1", request_id: str = "", run_id: str = ""
    ) -> int:
        request = pb.AdvanceRequest(
            agent_id=agent_id,
            task_id="task-1",
            run_id=run_id or f"run-{agent_id}",
            phase="EXECUTE",
            step=step,
            fencing_token=token,
        )
        return int((await self.ask("Advance", request, request_id)).sequence)

    async def verify(self) -> pb.VerifyStoreResponse:
        verdict: pb.VerifyStoreResponse = await self.ask("VerifyStore", pb.VerifyStoreRequest())
        return verdict


@pytest_asyncio.fixture
async def real(
    nats_server: NatsServer, events: Connection, valkey_server: ValkeyServer, tmp_path: Path
) -> AsyncIterator[Real]:
    redis = store.connect(valkey_server.url)
    await redis.flushall()
    child = StateProcess(tmp_path, nats_server.url, valkey_server.url)
    child.start()
    async with client.channel(
        child.address, internal_key=KEY, max_message_bytes=MAX_MESSAGE_BYTES
    ) as channel:
        yield Real(child, StateServiceStub(channel), events, redis, tmp_path)
    child.stop()
    await redis.aclose()
