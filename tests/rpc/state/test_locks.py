"""Packets, locks and errors over a real channel."""

from typing import Any

import pytest

from chassis import process
from chassis.rpc import client
from kernel.faults import Conflict, Denied, Invalid, NotFound, Refused
from provost.state.v1 import state_pb2 as pb
from services.state.domain.lock import StaleTokenRefused
from tests.rpc.state.asks import acquire, advance, issue, look, packet, recorded
from tests.rpc.state.conftest import Running, cause
from tests.rpc.state.test_tasks import put


async def test_a_run_from_packet_to_release(state: Running) -> None:
    await issue(state)
    acquired = await acquire(state, lease_seconds=30)
    assert acquired.lock.fencing_token == acquired.sequence
    answer = await advance(state, acquired.lock.fencing_token, "EXECUTE", step="disk.usage", lease_seconds=40)
    assert answer.errors == pb.ErrorCounts()
    assert answer.lock_expire_time.seconds > acquired.lock.expire_time.seconds

    agent = await look(state)
    assert (agent.phase, agent.step, agent.run_id, agent.sequence) == (
        "EXECUTE",
        "disk.usage",
        "run-1",
        answer.sequence,
    )
    assert agent.packet.error_budget == pb.ErrorBudget(
        max_total_errors=8, max_same_error_repeats=2, max_procedure_violations=1
    )
    assert agent.packet.HasField("created_at")
    assert agent.lock.fencing_token == acquired.lock.fencing_token
    assert agent.lock.expire_time == answer.lock_expire_time
    assert agent.HasField("heartbeat_time")

    release = pb.ReleaseLockRequest(
        agent_id="sre-1", task_id="task-1", holder="run-1", fencing_token=acquired.lock.fencing_token
    )
    first = await client.call(state.stub.ReleaseLock, release, cause("release-1"))
    again = await client.call(state.stub.ReleaseLock, release, cause("release-1"))
    assert first.sequence == again.sequence
    assert not (await look(state)).HasField("lock")


async def test_one_holder_at_a_time(state: Running) -> None:
    await issue(state)
    mine = await acquire(state, "run-1")
    again = await acquire(state, "run-1")
    assert again.lock == mine.lock
    with pytest.raises(Conflict) as caught:
        await acquire(state, "run-2")
    assert caught.value.reason == "CANNOT_ACQUIRE_LOCK"
    assert caught.value.facts["holder"] == "run-1"


async def test_a_stale_token_is_refused_and_recorded_each_time_it_is_shown(state: Running) -> None:
    await issue(state)
    slept = (await acquire(state, "run-1", lease_seconds=1)).lock.fencing_token
    process.set_clock_offset(60)
    try:
        taken = (await acquire(state, "run-2", lease_seconds=30)).lock.fencing_token
        assert taken > slept
        request_id = process.new_id()
        for _ in range(2):  # the same request again is refused again, and recorded once
            with pytest.raises(Refused) as caught:
                await advance(state, slept, request_id=request_id)
            assert caught.value.reason == "FENCING_TOKEN_STALE"
        with pytest.raises(Refused):
            await client.call(
                state.stub.ReleaseLock,
                pb.ReleaseLockRequest(agent_id="sre-1", holder="run-1", fencing_token=slept),
                cause(),
            )
        refusals = recorded(state, StaleTokenRefused)
        assert [(each.presented_token, each.current_token) for each in refusals] == [(slept, taken)] * 2  # type: ignore[attr-defined]
        assert (await look(state)).lock.holder == "run-2"
    finally:
        process.set_clock_offset(0)


async def test_errors_and_artifacts_under_a_stale_token_are_refused_and_leave_nothing(state: Running) -> None:
    await issue(state)
    slept = (await acquire(state, "run-1", lease_seconds=1)).lock.fencing_token
    process.set_clock_offset(60)
    try:
        taken = (await acquire(state, "run-2", lease_seconds=30)).lock.fencing_token
        error = pb.RecordErrorRequest(
            agent_id="sre-1", task_id="task-1", run_id="run-1", error_type="TIMEOUT"
        )
        for token, refused in ((slept, True), (taken, False)):
            artifact = put(agent_id="sre-1", run_id="" if refused else "run-2", fencing_token=token)
            error.fencing_token, error.run_id = token, "run-1" if refused else "run-2"
            writes: tuple[tuple[Any, Any], ...] = (
                (state.stub.RecordError, error),
                (state.stub.PutArtifact, artifact),
            )
            for method, request in writes:
                if not refused:
                    await client.call(method, request, cause())
                    continue
                with pytest.raises(Refused) as caught:
                    await client.call(method, request, cause())
                assert caught.value.reason == "FENCING_TOKEN_STALE"
            assert (await look(state)).errors.total == (0 if refused else 1)
            listed = pb.ListArtifactsRequest(task_id="task-1")
            found = await client.call(state.stub.ListArtifacts, listed, cause())
            assert len(found.artifacts) == (0 if refused else 1)
        assert len(recorded(state, StaleTokenRefused)) == 2
        with pytest.raises(Invalid) as whose:
            await client.call(state.stub.PutArtifact, put(fencing_token=taken), cause())
        assert whose.value.facts["field"] == "agent_id"
    finally:
        process.set_clock_offset(0)


async def test_a_repeated_request_has_one_effect(state: Running) -> None:
    await issue(state)
    token = (await acquire(state)).lock.fencing_token
    first = await advance(state, token, request_id="advance-1")
    second = await advance(state, token, request_id="advance-1")
    assert first.sequence == second.sequence
    state.log.lose_next_answer()
    third = await advance(state, token, "VERIFY", request_id="advance-2")
    assert (await look(state)).sequence == third.sequence


async def test_errors_and_violations_are_counted_before_the_next_step(state: Running) -> None:
    await issue(state)
    token = (await acquire(state)).lock.fencing_token
    error = pb.RecordErrorRequest(
        agent_id="sre-1", task_id="task-1", run_id="run-1", error_type="ACTUATOR_TIMEOUT", message="no answer"
    )
    for n in range(2):
        await client.call(state.stub.RecordError, error, cause(f"error-{n}"))
    violation = pb.RecordErrorRequest(
        agent_id="sre-1", task_id="task-1", error_type="FORBIDDEN_BY_PACKET", procedure_violation=True
    )
    counted = await client.call(state.stub.RecordError, violation, cause())
    expected = pb.ErrorCounts(
        total=2, same_error_repeats=2, procedure_violations=1, by_type={"ACTUATOR_TIMEOUT": 2}
    )
    assert counted.errors == expected
    assert (await advance(state, token)).errors == expected
    assert (await look(state)).errors == expected


@pytest.mark.parametrize("role", ["viewer", "operator", "approver", "auditor", "admin"])
async def test_people_read_and_only_services_write(state: Running, role: str) -> None:
    await issue(state)
    await client.call(
        state.stub.GetAgentState, pb.GetAgentStateRequest(agent_id="sre-1"), cause(), roles=(role,)
    )
    writes: tuple[tuple[Any, Any], ...] = (
        (state.stub.IssuePacket, pb.IssuePacketRequest(packet=packet())),
        (state.stub.AcquireLock, pb.AcquireLockRequest(agent_id="sre-1", task_id="task-1", holder="x")),
        (state.stub.Advance, pb.AdvanceRequest(agent_id="sre-1")),
        (state.stub.ReleaseLock, pb.ReleaseLockRequest(agent_id="sre-1")),
        (state.stub.Heartbeat, pb.HeartbeatRequest(agent_id="sre-1")),
        (state.stub.RecordError, pb.RecordErrorRequest(agent_id="sre-1", error_type="X")),
        (state.stub.PutArtifact, pb.PutArtifactRequest(task_id="task-1", name="a", media_type="text/plain")),
        (state.stub.WriteHandoff, pb.WriteHandoffRequest()),
    )
    for method, request in writes:
        with pytest.raises(Denied) as caught:
            await client.call(method, request, cause(), roles=(role,))
        assert caught.value.reason == "ROLE_MISSING"


async def test_nobody_without_a_role_reads(state: Running) -> None:
    await issue(state)
    with pytest.raises(Denied):
        await client.call(
            state.stub.GetAgentState, pb.GetAgentStateRequest(agent_id="sre-1"), cause(), roles=("guest",)
        )


async def test_tenants_do_not_see_each_other(state: Running) -> None:
    await issue(state)
    with pytest.raises(NotFound) as caught:
        await look(state, tenant="acme")
    assert caught.value.reason == "AGENT_STATE_UNKNOWN"
    await issue(state, "task-9", tenant="acme")
    assert (await look(state, tenant="acme")).packet.task_id == "task-9"
    assert (await look(state)).packet.task_id == "task-1"


async def test_a_bad_packet_names_its_field(state: Running) -> None:
    unsound = packet()
    unsound.objective = ""
    with pytest.raises(Invalid) as caught:
        await client.call(state.stub.IssuePacket, pb.IssuePacketRequest(packet=unsound), cause())
    assert (caught.value.reason, caught.value.facts["field"]) == ("PACKET_INVALID", "packet.objective")
    assert await state.log.last_sequence() == 0


async def test_a_heartbeat_lives_in_the_store_alone(state: Running) -> None:
    await issue(state)
    before = await state.log.last_sequence()
    beat = pb.HeartbeatRequest(agent_id="sre-1", ttl_seconds=5)
    answer = await client.call(state.stub.Heartbeat, beat, cause())
    assert await state.log.last_sequence() == before
    # Other processes look for it as long as they are patient, however short the one who beats thinks of it.
    assert 5_000 < await state.store.pttl("agent:{default/sre-1}:heartbeat") <= 30_000
    assert (await look(state)).heartbeat_time.seconds == answer.expire_time.seconds - 5
    with pytest.raises(NotFound):
        await client.call(state.stub.Heartbeat, pb.HeartbeatRequest(agent_id="nobody"), cause())
