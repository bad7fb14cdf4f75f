"""A replica that has not heard yet what another has written: what it answers is true all the same."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from chassis.rpc import client
from kernel.faults import Fault, Unavailable
from provost.state.v1 import state_pb2 as pb
from tests.fakes.behind import behind as replica_behind
from tests.fakes.valkey_server import ValkeyServer
from tests.fakes.wait import until
from tests.rpc.state.asks import get_entry, join, look, put_entry, send, unread
from tests.rpc.state.conftest import Running, cause, serving
from tests.rpc.state.test_tasks import put, revoke

Behind = Callable[[], AbstractAsyncContextManager[Running]]


@pytest.fixture
def behind(
    state: Running, valkey_server: ValkeyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Behind:
    """To have another replica from then on, which knows what there was."""
    return lambda: _behind(state, valkey_server, tmp_path / "other", monkeypatch)


@asynccontextmanager
async def _behind(
    state: Running, server: ValkeyServer, home: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Running]:
    """Another replica, which is behind."""
    async with serving(state.log, server.url, home) as other:
        await other.follower.reached(await state.log.last_sequence())
        with replica_behind(other.follower, monkeypatch):
            yield other


async def test_a_handoff_bears_what_its_agent_read_at_another_replica(state: Running, behind: Behind) -> None:
    await join(state, "sre-1", "sre-2")
    await put_entry(state, "secret", '"x"', agent_id="sre-2", labels=["secret"])
    async with behind() as other:
        await get_entry(state, "secret", agent_id="sre-1", run_id="run-sre-1")
        handoff = pb.Handoff(task_id="task-1", previous_agent_id="sre-1", blocking_issue="the secret")
        written = await client.call(other.stub.WriteHandoff, pb.WriteHandoffRequest(handoff=handoff), cause())
        request = pb.GetHandoffRequest(task_id="task-1", at_least_sequence=written.sequence)
        found = await client.call(state.stub.GetHandoff, request, cause())
    assert list(found.handoff.labels) == ["secret"]


async def test_who_joined_at_another_replica_is_sent_to(state: Running, behind: Behind) -> None:
    await join(state, "sre-1")
    async with behind() as other:
        await join(state, "sre-2")
        sent = await send(other, "hello", to_agent_id="sre-2")
    assert list(sent.message.recipients) == ["sre-2"]


async def test_a_task_is_shown_as_it_was_at_one_moment(state: Running, behind: Behind) -> None:
    await join(state, "sre-1")
    async with behind() as other:
        await put_entry(state, "cause", '"the disk"')
        await client.call(state.stub.PutArtifact, put(), cause())
        shown = await client.call(other.stub.GetTask, pb.GetTaskRequest(task_id="task-1"), cause())
    assert ([each.key for each in shown.entries], len(shown.artifacts)) == (["cause"], 1)


async def test_what_another_replica_stored_is_the_answer_to_who_asks_again(
    state: Running, behind: Behind
) -> None:
    async with behind() as other:
        first = await client.call(state.stub.PutArtifact, put(request_id="once"), cause())
        request = put(request_id="once", content=b"sealed:v1:other")
        asked = asyncio.ensure_future(client.call(other.stub.PutArtifact, request, cause()))
        await until(lambda: any((other.home / "artifacts").rglob("*/*")), "it knows of the first too early")
        await other.follower.reached(await state.log.last_sequence())
        assert await asked == first


@pytest.mark.parametrize("by", ["up_to_sequence", "message_ids"])
async def test_what_was_sent_at_another_replica_is_acknowledged(
    state: Running, behind: Behind, by: str
) -> None:
    await join(state, "sre-1", "sre-2")
    async with behind() as other:
        sent = await send(state, "hello", to_agent_id="sre-2")
        request = pb.AcknowledgeMessagesRequest(task_id="task-1", agent_id="sre-2")
        if by == "message_ids":
            request.message_ids.append(sent.message.message_id)
        else:
            request.up_to_sequence = sent.sequence
        answer = await client.call(other.stub.AcknowledgeMessages, request, cause())
        assert answer.sequence > sent.sequence
        assert await unread(state, "sre-2", at_least_sequence=answer.sequence) == []


async def test_what_was_written_over_at_another_replica_is_written_anew(
    state: Running, behind: Behind
) -> None:
    await join(state, "sre-1", "sre-2")
    await put_entry(state, "cause", '"the disk"')
    async with behind() as other:
        await put_entry(state, "cause", '"the memory"', agent_id="sre-2")
        assert (await put_entry(other, "cause", '"the disk"')).entry.version == 3


async def test_a_wait_that_was_told_to_another_replica_ends(state: Running, behind: Behind) -> None:
    await join(state, "sre-1")
    report = pb.ReportActivityRequest(agent_id="sre-1", task_id="task-1", run_id="run-sre-1")
    waits = pb.ReportActivityRequest(waiting=pb.Waiting(kind=pb.Waiting.KIND_APPROVAL, what="a-1"))
    waits.MergeFrom(report)
    async with behind() as other:
        await client.call(state.stub.ReportActivity, waits, cause())
        await client.call(other.stub.ReportActivity, report, cause())
        assert not (await look(state, await state.log.last_sequence())).HasField("waiting")


async def test_the_log_is_not_asked_whether_work_goes_on(
    state: Running, behind: Behind, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = (await join(state, "sre-1"))["sre-1"]
    report = pb.ReportActivityRequest(
        agent_id="sre-1", task_id="task-1", run_id="run-sre-1", action="deploy", fencing_token=token
    )
    async with behind() as other:
        asked: list[str] = []

        async def away() -> int:
            asked.append(report.action)
            raise Unavailable("LOG_UNREACHABLE", "the event log does not answer")

        monkeypatch.setattr(state.log, "last_sequence", away)
        for _ in range(3):
            await client.call(other.stub.ReportActivity, report, cause())
        report.action = ""
        with pytest.raises(Unavailable):
            await client.call(other.stub.ReportActivity, report, cause())
        assert set(asked) == {""}


async def test_nothing_is_sent_to_the_revoked(state: Running) -> None:
    await join(state, "sre-1", "sre-2", "sre-3")
    await state.follower.reached(await revoke(state, "sre-2"))
    every = await send(state, "to all")
    assert list(every.message.recipients) == ["sre-3"]
    with pytest.raises(Fault) as caught:
        await send(state, "to the revoked", to_agent_id="sre-2")
    assert caught.value.reason == "RECIPIENT_UNKNOWN"


async def test_no_lock_is_passed_over_when_one_is_given_back_while_pages_are_turned(state: Running) -> None:
    tokens = await join(state, "a", "b", "c")
    first = await client.call(state.stub.ListLocks, pb.ListLocksRequest(page_size=1), cause())
    release = pb.ReleaseLockRequest(agent_id="a", task_id="task-1", holder="run-a", fencing_token=tokens["a"])
    await client.call(state.stub.ReleaseLock, release, cause())
    rest = pb.ListLocksRequest(page_size=2, page_token=first.next_page_token)
    then = await client.call(state.stub.ListLocks, rest, cause())
    assert [each.agent_id for each in then.locks] == ["b", "c"]
    assert then.next_page_token == ""
    for other in ("no name", "zzz", "a", "stuck.a", "locks."):
        with pytest.raises(Fault) as caught:
            await client.call(state.stub.ListLocks, pb.ListLocksRequest(page_token=other), cause())
        assert caught.value.reason == "PAGE_TOKEN_INVALID"
    for other in ("zzz", first.next_page_token):
        with pytest.raises(Fault) as caught:
            await client.call(
                state.stub.ListStuckAgents, pb.ListStuckAgentsRequest(page_token=other), cause()
            )
        assert caught.value.reason == "PAGE_TOKEN_INVALID"
