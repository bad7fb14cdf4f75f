"""The same request id with other content: another request, or a refusal that says so; never answered as done."""

from typing import Any

import pytest

from chassis import process
from chassis.rpc import client
from kernel.faults import Conflict, Invalid, Refused
from provost.state.v1 import state_pb2 as pb
from services.state.domain.attention import AgentWaits
from services.state.domain.errors import ErrorRecorded
from services.state.domain.inbox import MessagesAcknowledged
from services.state.domain.lock import AgentAdvanced, LockAcquired, LockForced, LockReleased
from services.state.domain.packet import PacketIssued
from services.state.domain.task import HandoffWritten
from tests.rpc.state.asks import acquire, advance, issue, join, look, packet, recorded, send, unread
from tests.rpc.state.conftest import Running, cause

ID = "one-and-the-same"


async def ask(method: Any, request: Any, *, roles: tuple[str, ...] = ("service",)) -> Any:
    request.request_id = ID
    return await client.call(method, request, cause(), roles=roles)


async def test_an_advance_to_another_place_or_under_another_token_is_another(state: Running) -> None:
    await issue(state)
    token = (await acquire(state)).lock.fencing_token
    first = await advance(state, token, "PLAN", request_id=ID)
    assert await advance(state, token, "PLAN", request_id=ID, lease_seconds=9) == first
    await advance(state, token, "EXECUTE", request_id=ID)
    await advance(state, token, "EXECUTE", request_id=ID, step="disk.usage")
    assert ((await look(state)).phase, (await look(state)).step) == ("EXECUTE", "disk.usage")
    with pytest.raises(Refused) as stale:
        await advance(state, token + 9, "PLAN", request_id=ID)
    assert stale.value.reason == "FENCING_TOKEN_STALE"
    assert len(recorded(state, AgentAdvanced)) == 3


async def test_a_lock_for_another_run_or_task_is_asked_for_anew_and_each_is_given_back(
    state: Running,
) -> None:
    await issue(state)
    for holder in ("run-1", "run-2"):
        lock = (await acquire(state, holder, request_id=ID)).lock
        assert (await acquire(state, holder, request_id=ID)).lock == lock
        assert lock.holder == holder
        with pytest.raises(Conflict) as other:
            await acquire(state, holder, request_id=ID, task_id="task-2")
        assert other.value.reason == "CANNOT_ACQUIRE_LOCK"
        back = pb.ReleaseLockRequest(agent_id="sre-1", holder=holder, fencing_token=lock.fencing_token)
        assert await ask(state.stub.ReleaseLock, back) == await ask(state.stub.ReleaseLock, back)
        assert not (await look(state)).HasField("lock")
    assert len(recorded(state, LockAcquired)) == len(recorded(state, LockReleased)) == 2


async def test_a_lock_taken_away_for_another_reason_is_taken_away_again(state: Running) -> None:
    await issue(state)
    for n, reason in enumerate(("it hangs", "it hangs again")):
        await acquire(state, f"run-{n}")
        request = pb.ForceReleaseLockRequest(agent_id="sre-1", reason=reason)
        for _ in range(2):
            await ask(state.stub.ForceReleaseLock, request, roles=("operator",))
    assert len(recorded(state, LockForced)) == 2


async def test_another_packet_under_one_request_id_is_refused_and_the_same_one_is_answered_as_before(
    state: Running,
) -> None:
    first = await ask(state.stub.IssuePacket, pb.IssuePacketRequest(packet=packet()))
    other = packet()
    other.objective = "restart it"
    with pytest.raises(Invalid) as reused:
        await ask(state.stub.IssuePacket, pb.IssuePacketRequest(packet=other))
    assert (reused.value.reason, reused.value.facts["field"]) == ("FIELD_INVALID", "request_id")
    # It has no time of its own, so it is given another each time; also when one has superseded it.
    assert await ask(state.stub.IssuePacket, pb.IssuePacketRequest(packet=packet())) == first
    await client.call(state.stub.IssuePacket, pb.IssuePacketRequest(packet=other), cause())
    assert await ask(state.stub.IssuePacket, pb.IssuePacketRequest(packet=packet())) == first
    assert len(recorded(state, PacketIssued)) == 2


async def test_errors_of_other_runs_and_kinds_count_each_and_one_told_again_counts_once(
    state: Running,
) -> None:
    await issue(state)
    token = (await acquire(state)).lock.fencing_token
    error = pb.RecordErrorRequest(agent_id="sre-1", task_id="task-1", run_id="run-1", error_type="TIMEOUT")
    for text, shown in (("sealed", token), ("sealed anew", 0)):  # as after a crash
        error.message, error.fencing_token = text, shown
        await ask(state.stub.RecordError, error)
    assert len(recorded(state, ErrorRecorded)) == 1
    error.error_type = "REFUSED"
    await ask(state.stub.RecordError, error)
    error.procedure_violation = True
    await ask(state.stub.RecordError, error)
    error.run_id = "run-0"
    assert (await ask(state.stub.RecordError, error)).errors == pb.ErrorCounts(
        total=2, same_error_repeats=1, procedure_violations=2, by_type={"TIMEOUT": 1, "REFUSED": 1}
    )


async def test_what_an_agent_waits_for_is_told_also_when_it_is_something_else(state: Running) -> None:
    await issue(state)
    await acquire(state)
    for what in ("approval-1", "approval-1", "approval-2", ""):
        waiting = pb.Waiting(kind=pb.Waiting.KIND_APPROVAL, what=what) if what else None
        request = pb.ReportActivityRequest(
            agent_id="sre-1", task_id="task-1", run_id="run-1", waiting=waiting
        )
        await ask(state.stub.ReportActivity, request)
        assert (await look(state)).waiting.what == what
    assert len(recorded(state, AgentWaits)) == 3


async def test_other_messages_of_another_agent_are_acknowledged_too(state: Running) -> None:
    await join(state, "alpha", "beta", "gamma")
    sent = [(await send(state, text, from_agent_id="alpha")).message for text in ("one", "two")]
    for agent_id in ("beta", "gamma"):
        for n, each in enumerate(sent):
            request = pb.AcknowledgeMessagesRequest(
                task_id="task-1", agent_id=agent_id, message_ids=[each.message_id]
            )
            for _ in range(2):
                await ask(state.stub.AcknowledgeMessages, request)
            assert len(await unread(state, agent_id)) == 1 - n
    assert len(recorded(state, MessagesAcknowledged)) == 4


async def test_a_handoff_of_another_agent_is_another_and_one_sealed_anew_is_the_same(state: Running) -> None:
    for agent_id in ("sre-1", "sre-2"):
        for sealed in ("sealed", "sealed anew"):
            handoff = pb.Handoff(task_id="task-1", previous_agent_id=agent_id, blocking_issue=sealed)
            await ask(state.stub.WriteHandoff, pb.WriteHandoffRequest(handoff=handoff))
        found = (
            await client.call(state.stub.GetHandoff, pb.GetHandoffRequest(task_id="task-1"), cause())
        ).handoff
        assert (found.previous_agent_id, found.blocking_issue) == (agent_id, "sealed")
    assert len(recorded(state, HandoffWritten)) == 2


async def test_the_labels_of_a_packet_stick_also_under_the_id_that_took_the_lock(state: Running) -> None:
    request = pb.IssuePacketRequest(packet=packet())
    request.packet.labels[:] = ["ours"]
    await client.call(state.stub.IssuePacket, request, cause())
    await acquire(state, request_id=ID, lease_seconds=1)
    request.packet.labels[:] = ["personal"]
    process.set_clock_offset(60)
    try:
        await ask(state.stub.IssuePacket, request)
        assert set((await look(state)).labels) == {"ours", "personal"}
    finally:
        process.set_clock_offset(0)
