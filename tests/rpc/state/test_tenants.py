"""Two tenants with the same names: each is answered with its own, and nobody with what is another's."""

from typing import Any

import pytest

from chassis.rpc import client
from kernel.faults import NotFound
from provost.state.v1 import state_pb2 as pb
from tests.rpc.state.asks import issue
from tests.rpc.state.conftest import Running, cause
from tests.rpc.state.test_tasks import put, revoke

TENANTS = ("default", "acme")


async def ask(state: Running, tenant: str, method: str, request: object) -> Any:
    return await client.call(getattr(state.stub, method), request, cause(tenant=tenant))


async def test_what_is_asked_is_answered_for_the_tenant_that_asks(state: Running) -> None:
    sequences = {tenant: await issue(state, f"task-of-{tenant}", tenant) for tenant in TENANTS}
    for tenant in TENANTS:
        handoff = pb.Handoff(task_id="task-1", previous_agent_id="sre-1", blocking_issue=f"for {tenant}")
        await ask(state, tenant, "WriteHandoff", pb.WriteHandoffRequest(handoff=handoff))
        await ask(state, tenant, "PutArtifact", put(name=f"{tenant}.txt", content=tenant.encode()))
        revoked = await revoke(state, f"of-{tenant}", tenant=tenant)
        await state.follower.reached(revoked)
    for tenant in TENANTS:
        agent = await ask(state, tenant, "GetAgentState", pb.GetAgentStateRequest(agent_id="sre-1"))
        assert agent.agent.packet.task_id == f"task-of-{tenant}"
        assert agent.agent.sequence == sequences[tenant]
        found = await ask(state, tenant, "GetHandoff", pb.GetHandoffRequest(task_id="task-1"))
        assert found.handoff.blocking_issue == f"for {tenant}"
        listed = await ask(state, tenant, "ListArtifacts", pb.ListArtifactsRequest(task_id="task-1"))
        assert [artifact.name for artifact in listed.artifacts] == [f"{tenant}.txt"]
        gone = await ask(state, tenant, "ListRevocations", pb.ListRevocationsRequest())
        assert [revocation.agent_id for revocation in gone.revocations] == [f"of-{tenant}"]


async def test_who_has_nothing_is_told_that_there_is_nothing(state: Running) -> None:
    await issue(state)
    for method, request in (
        ("GetAgentState", pb.GetAgentStateRequest(agent_id="sre-1")),
        ("GetHandoff", pb.GetHandoffRequest(task_id="task-1")),
        ("Heartbeat", pb.HeartbeatRequest(agent_id="sre-1")),
    ):
        with pytest.raises(NotFound):
            await ask(state, "nobody", method, request)
