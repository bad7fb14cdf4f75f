"""Reports of agents, who is stuck, and what is waited for, over a real channel and by the real clock."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from chassis import process, store
from chassis.eventlog.memory import MemoryLog
from chassis.rpc import client
from kernel.faults import Denied, Invalid, NotFound, Refused
from provost.state.v1 import state_pb2 as pb
from services.state.domain.attention import AgentStuck, AgentUnstuck, AgentWaits
from services.state.domain.lock import StaleTokenRefused
from services.state.wire import CODEC
from tests.fakes.valkey_server import ValkeyServer
from tests.fakes.wait import until
from tests.rpc.state.asks import acquire, advance, issue, look, recorded, verify
from tests.rpc.state.conftest import Running, cause, serving


@pytest_asyncio.fixture
async def hasty(valkey_server: ValkeyServer, tmp_path: Path) -> AsyncIterator[Running]:
    """A state with one second of patience."""
    redis = store.connect(valkey_server.url)
    await redis.flushall()
    await redis.aclose()
    async with serving(MemoryLog(CODEC), valkey_server.url, tmp_path, patience_seconds=1.0) as running:
        yield running


async def report(
    state: Running,
    action: str = "",
    result: str = "",
    waiting: pb.Waiting | None = None,
    role: str = "service",
    **fields: Any,
) -> pb.ReportActivityResponse:
    request = pb.ReportActivityRequest(
        agent_id="sre-1", task_id="task-1", run_id="run-1", action=action, result=result, waiting=waiting
    )
    request.MergeFrom(pb.ReportActivityRequest(**fields))
    return await client.call(state.stub.ReportActivity, request, cause(), roles=(role,))


async def stuck(state: Running, task_id: str = "") -> list[pb.AgentSnapshot]:
    request = pb.ListStuckAgentsRequest(task_id=task_id)
    return list((await client.call(state.stub.ListStuckAgents, request, cause(), roles=("viewer",))).agents)


async def test_who_does_the_same_again_and_again_is_found_told_listed_and_let_off_when_it_moves_on(
    hasty: Running,
) -> None:
    await issue(hasty)
    token = (await acquire(hasty)).lock.fencing_token

    async def found() -> bool:
        return (await report(hasty, "deploy", "refused")).stuck.kind == pb.Stuck.KIND_REPETITION

    await until(found, "it was not found")
    agent = await look(hasty)
    assert agent.stuck.kind == pb.Stuck.KIND_REPETITION
    assert "'refused'" in agent.stuck.evidence
    assert [each.agent_id for each in await stuck(hasty, "task-1")] == ["sre-1"]
    assert await stuck(hasty, "task-2") == []
    assert (await verify(hasty)).equal
    await advance(hasty, token, "VERIFY")
    await until(lambda: len(recorded(hasty, AgentUnstuck)) == 1, "it was not let off")
    assert len(recorded(hasty, AgentStuck)) == 1
    assert not (await look(hasty)).HasField("stuck")
    assert (await verify(hasty)).equal


async def test_what_an_agent_waits_for_is_told_and_ends_with_its_next_report(hasty: Running) -> None:
    await issue(hasty)
    await acquire(hasty)
    approval = pb.Waiting(kind=pb.Waiting.KIND_APPROVAL, what="approval-1")
    for _ in range(3):
        await report(hasty, waiting=approval)
    agent = await look(hasty)
    assert (agent.waiting.kind, agent.waiting.what) == (pb.Waiting.KIND_APPROVAL, "approval-1")
    assert agent.waiting.HasField("since")
    assert len(recorded(hasty, AgentWaits)) == 1
    assert (await verify(hasty)).equal
    await report(hasty, "went on", "ok")
    assert not (await look(hasty)).HasField("waiting")


async def test_a_wait_that_is_over_is_not_shown_though_nothing_has_changed(state: Running) -> None:
    await issue(state)
    await acquire(state, lease_seconds=3600)
    gate = pb.Waiting(kind=pb.Waiting.KIND_GATE, what="deploy")
    gate.until.FromDatetime(process.now() + timedelta(seconds=60))
    await report(state, waiting=gate)
    for _ in range(2):
        shown = await look(state)
        assert [each.waiting.what for each in shown.waiting_runs] == ["deploy"]
    process.set_clock_offset(61)
    try:
        shown = await look(state)
        assert not shown.waiting_runs
        assert not shown.HasField("waiting")
        asked = pb.GetTaskRequest(task_id="task-1")
        (agent,) = (await client.call(state.stub.GetTask, asked, cause())).agents
        assert not agent.waiting_runs
    finally:
        process.set_clock_offset(0)


async def test_a_report_is_a_sign_of_life(hasty: Running) -> None:
    await issue(hasty)
    await report(hasty, "read", "ok")
    assert (await look(hasty)).HasField("heartbeat_time")


async def test_a_run_that_lost_its_lock_is_not_heard_and_is_told_so(hasty: Running) -> None:
    await issue(hasty)
    old = (await acquire(hasty)).lock.fencing_token
    process.set_clock_offset(3700)
    try:
        new = (await acquire(hasty, "run-2", lease_seconds=30)).lock.fencing_token
        approval = pb.Waiting(kind=pb.Waiting.KIND_APPROVAL, what="approval-1")
        for token in (old, 0):
            with pytest.raises(Refused) as caught:
                await report(hasty, "read", "ok", approval, fencing_token=token)
            facts = caught.value.facts
            assert caught.value.reason == "FENCING_TOKEN_STALE"
            assert (facts["presented_token"], facts["current_token"]) == (str(token), str(new))
        agent = await look(hasty)
        assert not agent.HasField("waiting")
        assert not agent.HasField("heartbeat_time")
        assert len(recorded(hasty, StaleTokenRefused)) == 2
        await report(hasty, waiting=approval, run_id="run-2", fencing_token=new)
        assert (await look(hasty)).waiting.what == "approval-1"
        assert (await verify(hasty)).equal
    finally:
        process.set_clock_offset(0)


async def test_bad_reports_say_what_is_wrong(hasty: Running) -> None:
    with pytest.raises(NotFound) as unknown:
        await report(hasty, "read", "ok")
    assert unknown.value.reason == "AGENT_STATE_UNKNOWN"
    await issue(hasty)
    for waiting, field in (
        (pb.Waiting(what="x"), "kind"),
        (pb.Waiting(kind=pb.Waiting.KIND_POLL, what="x"), "waiting.until"),
        (pb.Waiting(kind=pb.Waiting.KIND_GATE, what="x" * 129), "waiting.what"),
    ):
        with pytest.raises(Invalid) as invalid:
            await report(hasty, waiting=waiting)
        assert invalid.value.facts["field"] == field
    with pytest.raises(Invalid) as long:
        await report(hasty, "x" * 129)
    assert long.value.facts["field"] == "action"
    with pytest.raises(Denied):
        await report(hasty, "read", "ok", role="operator")
