"""Requests as the orchestrator makes them."""

import json
from typing import Any

from chassis.rpc import client
from provost.state.v1 import state_pb2 as pb
from services.state.wire import CODEC
from tests.rpc.state.conftest import Running, cause

ROLES = ("service",)


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


async def put_entry(
    state: Running,
    key: str,
    value: str,
    *,
    request_id: str = "",
    actor: str = "service:orchestrator",
    tenant: str = "default",
    **fields: Any,
) -> pb.PutEntryResponse:
    """As `sre-1`, or as the person that `actor` is."""
    person = not actor.startswith("service:")
    request = pb.PutEntryRequest(
        request_id=request_id, task_id="task-1", section="problem", key=key, value=value
    )
    request.agent_id = "" if person else "sre-1"
    request.MergeFrom(pb.PutEntryRequest(**fields))
    asking = cause(tenant=tenant, actor=actor)
    return await client.call(state.stub.PutEntry, request, asking, roles=("operator",) if person else ROLES)


async def get_entry(state: Running, key: str, section: str = "problem", **fields: Any) -> pb.Entry:
    request = pb.GetEntryRequest(task_id="task-1", section=section, key=key, **fields)
    return (await client.call(state.stub.GetEntry, request, cause())).entry


async def send(
    state: Running,
    text: str,
    *,
    request_id: str = "",
    from_agent_id: str = "sre-1",
    actor: str = "service:orchestrator",
    task: str = "task-1",
    **fields: Any,
) -> pb.SendMessageResponse:
    """From an agent to all, or from the person that `actor` is."""
    request = pb.SendMessageRequest(
        request_id=request_id,
        task_id=task,
        from_agent_id=from_agent_id,
        type="STATUS",
        body=json.dumps(text),
        **fields,
    )
    roles = ROLES if from_agent_id else ("operator",)
    return await client.call(state.stub.SendMessage, request, cause(actor=actor), roles=roles)


async def unread(state: Running, agent_id: str, **fields: Any) -> list[str]:
    """The texts of what waits for an agent, over all pages."""
    found, token = list[str](), ""
    while True:
        request = pb.ListMessagesRequest(task_id="task-1", agent_id=agent_id, page_token=token, **fields)
        page = await client.call(state.stub.ListMessages, request, cause())
        found += [json.loads(each.body) for each in page.messages]
        token = page.next_page_token
        if not token:
            return found


async def save(
    state: Running,
    step: str,
    *,
    request_id: str = "",
    fencing_token: int = 0,
    run_id: str = "run-1",
    **fields: Any,
) -> pb.SaveCheckpointResponse:
    checkpoint = pb.Checkpoint(
        run_id=run_id, task_id="task-1", agent_id="sre-1", phase="EXECUTE", step=step, **fields
    )
    request = pb.SaveCheckpointRequest(
        request_id=request_id, checkpoint=checkpoint, fencing_token=fencing_token
    )
    return await client.call(state.stub.SaveCheckpoint, request, cause())


async def join(state: Running, *agent_ids: str, task_id: str = "task-1", holder: str = "") -> dict[str, int]:
    """Each agent with a packet and a lock for the task: it works on it from then on; their tokens."""
    tokens = {}
    for agent_id in agent_ids:
        issued = pb.IssuePacketRequest(packet=packet(task_id, agent_id))
        await client.call(state.stub.IssuePacket, issued, cause())
        lock = await acquire(state, holder or f"run-{agent_id}", agent_id=agent_id, task_id=task_id)
        tokens[agent_id] = lock.lock.fencing_token
    return tokens


def recorded(state: Running, kind: type) -> list[object]:
    """The events of this kind in the log."""
    events = [CODEC.decode(each).event for each in state.log._kept.events]
    return [event for event in events if isinstance(event, kind)]
