"""A whole Provost with an agent of ours in it: attached, at work, with children and more work waiting."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc.aio

from chassis import process
from chassis.rpc import client
from kernel.events import Cause
from provost.orchestrator.v1 import orchestrator_pb2 as work
from provost.orchestrator.v1.orchestrator_pb2_grpc import OrchestratorServiceStub
from provost.policy.v1 import policy_pb2 as pb
from provost.policy.v1.policy_pb2_grpc import PolicyServiceStub
from provost.state.v1.state_pb2_grpc import StateServiceStub
from tests.e2e.embedded.embedded import Embedded

SURFACES = {
    "policy": {"tokens", "reservations"},
    "state": {"locks", "writes"},
    "orchestrator": {"runs", "streams"},
    "actuators": {"permits"},
}


@dataclass
class Stream:
    """An agent's open stream through the gateway: its tasks come, and none is ever answered."""

    call: Any
    reading: "asyncio.Task[None]"
    tasks: list[str] = field(default_factory=list)
    ended_as: grpc.aio.AioRpcError | None = None


class Inside:
    """What a service would ask the others, and what an operator would ask the gateway."""

    def __init__(self, provost: Embedded) -> None:
        self.provost = provost
        key = (provost.home / "keys" / "internal").read_text()
        self._channels = {
            name: client.channel(
                f"127.0.0.1:{provost.environment[f'PROVOST_{name.upper()}_PORT']}", internal_key=key
            )
            for name in ("policy", "state", "orchestrator")
        }
        self.policy = PolicyServiceStub(self._channels["policy"])
        self.state = StateServiceStub(self._channels["state"])
        self.orchestrator = OrchestratorServiceStub(self._channels["orchestrator"])

    async def ask(self, method: Any, request: Any, *, timeout_seconds: float = 30.0) -> Any:
        """Raises Fault."""
        if "request_id" in request.DESCRIPTOR.fields_by_name and not request.request_id:
            request.request_id = process.new_id()
        cause = Cause("default", "", "service:tests", process.now())
        return await client.call(method, request, cause, timeout_seconds, roles=("service", "admin"))

    async def session(self, agent_id: str, parent: str = "", tier: int = pb.TIER_T1_OPERATOR) -> str:
        """Register an agent; its session token."""
        await self.ask(
            self.policy.RegisterAgent,
            pb.RegisterAgentRequest(agent_id=agent_id, tier=tier, parent_agent_id=parent),  # type: ignore[arg-type]
        )
        secret = await self.ask(self.policy.CreateSecret, pb.CreateSecretRequest(agent_id=agent_id))
        request = pb.CreateSessionRequest(role_id=secret.role_id, secret_id=secret.secret_id)
        return str((await self.ask(self.policy.CreateSession, request)).session_token)

    async def started(self, agent_id: str, task_id: str) -> str:
        """The id of a run that is begun for the agent."""
        request = work.StartRunRequest(
            agent_id=agent_id, task_id=task_id, objective="look at memory", mode=pb.MODE_SAFE
        )
        return str((await self.ask(self.orchestrator.StartRun, request)).run.run_id)

    async def run(self, run_id: str, wait_seconds: int = 0) -> Any:
        request = work.GetRunRequest(run_id=run_id, wait_seconds=wait_seconds)
        return (await self.ask(self.orchestrator.GetRun, request)).run

    def revoke(self, agent_id: str, wait_ms: int = 0, *, request_id: str = "") -> Any:
        request = pb.RevokeAgentRequest(
            request_id=request_id, agent_id=agent_id, kind="operator", details="a test", wait_ms=wait_ms
        )
        return self.ask(self.policy.RevokeAgent, request)

    @asynccontextmanager
    async def attached(self, token: str) -> AsyncIterator[Stream]:
        """A stream of the agent, as it is opened from outside."""
        address = self.provost.run_json()["grpc"]
        async with grpc.aio.insecure_channel(address) as channel:
            stub = OrchestratorServiceStub(channel)
            call = stub.AttachAgent(metadata=(("x-api-key", self.provost.key("operator")),))
            hello = work.AttachAgentRequest.Hello(session_token=token, agent_version="1")
            await call.write(work.AttachAgentRequest(hello=hello))
            welcome: Any = await call.read()
            assert welcome.WhichOneof("message") == "welcome"
            stream = Stream(call, asyncio.create_task(asyncio.sleep(0)))
            stream.reading = asyncio.create_task(self._read(stream))
            yield stream
            stream.reading.cancel()

    async def _read(self, stream: Stream) -> None:
        try:
            while (message := await stream.call.read()) is not grpc.aio.EOF:
                stream.tasks.append(message.task.run_id)
        except grpc.aio.AioRpcError as error:
            stream.ended_as = error

    async def close(self) -> None:
        for channel in self._channels.values():
            await channel.close()


@asynccontextmanager
async def stopped(provost: Embedded, service: str) -> AsyncIterator[None]:
    """Inside, the service's process is stopped where it stands (SIGSTOP)."""
    pid = provost.run_json()["pids"][service]
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def said(receipt: Any) -> dict[str, set[str]]:
    """Which surfaces each service has spoken for."""
    found: dict[str, set[str]] = {}
    for each in receipt.lost:
        found.setdefault(each.service, set()).add(each.surface)
    return found
