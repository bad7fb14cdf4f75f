"""Requests as the orchestrator makes them."""

from typing import Any

from chassis.rpc import client
from provost.state.v1 import state_pb2 as pb
from tests.rpc.state.conftest import Running, cause


def packet(task_id: str = "task-1", agent_id: str = "sre-1") -> pb.Packet:
    return pb.Packet(
        agent_id=agent_id, task_id=task_id, created_for="run-1", objective="find out why the disk is full"
    )


async def issue(state: Running, task_id: str = "task-1", tenant: str = "default") -> int:
    request = pb.IssuePacketRequest(packet=packet(task_id))
    return int((await client.call(state.stub.IssuePacket, request, cause(tenant=tenant))).sequence)


async def acquire(state: Running, holder: str = "run-1", **fields: Any) -> pb.AcquireLockResponse:
    request = pb.AcquireLockRequest(agent_id="sre-1", task_id="task-1", holder=holder)
    request.MergeFrom(pb.AcquireLockRequest(**fields))
    return await client.call(state.stub.AcquireLock, request, cause())


async def advance(state: Running, token: int, phase: str = "PLAN", **fields: Any) -> pb.AdvanceResponse:
    request = pb.AdvanceRequest(
        agent_id="sre-1", task_id="task-1", run_id="run-1", phase=phase, fencing_token=token
    )
    request.MergeFrom(pb.AdvanceRequest(**fields))
    return await client.call(state.stub.Advance, request, cause())


async def look(state: Running, at_least_sequence: int = 0, tenant: str = "default") -> pb.AgentSnapshot:
    request = pb.GetAgentStateRequest(agent_id="sre-1", at_least_sequence=at_least_sequence)
    return (
        await client.call(state.stub.GetAgentState, request, cause(tenant=tenant), roles=("viewer",))
    ).agent


async def verify(state: Running, tenant: str = "default") -> pb.VerifyStoreResponse:
    request = pb.VerifyStoreRequest()
    return await client.call(state.stub.VerifyStore, request, cause(tenant=tenant), timeout_seconds=20)
