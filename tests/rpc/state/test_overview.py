"""Tasks as they are, put together from everything that is kept of them."""

from collections.abc import Awaitable, Callable

import pytest

from chassis.rpc import client
from kernel.faults import Invalid, NotFound
from provost.state.v1 import state_pb2 as pb
from tests.rpc.state.asks import acquire, advance, issue, join, put_entry, save, send, verify
from tests.rpc.state.conftest import Running, cause
from tests.rpc.state.test_tasks import put


async def shown(state: Running, task_id: str = "task-1", tenant: str = "default") -> pb.GetTaskResponse:
    request = pb.GetTaskRequest(task_id=task_id)
    return await client.call(state.stub.GetTask, request, cause(tenant=tenant), roles=("viewer",))


async def listed(state: Running, page_size: int = 0, tenant: str = "default") -> list[str]:
    found, token = list[str](), ""
    while True:
        request = pb.ListTasksRequest(page_size=page_size, page_token=token)
        page = await client.call(state.stub.ListTasks, request, cause(tenant=tenant), roles=("viewer",))
        found += [each.task_id for each in page.tasks]
        token = page.next_page_token
        if not token:
            return found


async def test_a_task_is_shown_with_everything_of_it(state: Running) -> None:
    tokens = await join(state, "sre-1", "sre-2")
    await join(state, "else-1", task_id="task-2")
    await advance(state, tokens["sre-1"], "EXECUTE", run_id="run-sre-1")
    await put_entry(state, "analysis", "1")
    await put_entry(state, "gone", "1")
    await put_entry(state, "gone", "")
    await send(state, "hello")
    artifact = (await client.call(state.stub.PutArtifact, put(), cause())).artifact
    handoff = pb.Handoff(task_id="task-1", previous_agent_id="sre-0", blocking_issue="no permission")
    await client.call(state.stub.WriteHandoff, pb.WriteHandoffRequest(handoff=handoff), cause())
    last = (await save(state, "s1")).sequence
    found = await shown(state)
    task = found.task
    assert (list(task.agent_ids), task.active_agent_id) == (["sre-1", "sre-2"], "sre-2")
    assert (task.entries, task.unread_messages, task.artifacts, task.sequence) == (1, 1, 1, last)
    assert [(each.agent_id, each.phase) for each in found.agents] == [("sre-1", "EXECUTE"), ("sre-2", "")]
    assert {each.agent_id: each.lock.fencing_token for each in found.locks} == tokens
    assert [each.key for each in found.entries] == ["analysis"]
    assert [each.body for each in found.unread_messages] == ['"hello"']
    assert list(found.artifacts) == [artifact]
    assert found.handoff.blocking_issue == "no permission"
    assert not found.incomplete


async def test_an_agent_that_went_on_with_another_task_is_shown_where_a_run_of_it_waits(
    state: Running,
) -> None:
    await issue(state)
    token = (await acquire(state)).lock.fencing_token
    release = pb.ReleaseLockRequest(agent_id="sre-1", task_id="task-1", holder="run-1", fencing_token=token)
    await client.call(state.stub.ReleaseLock, release, cause())
    wait = pb.ReportActivityRequest(
        agent_id="sre-1",
        task_id="task-1",
        run_id="run-1",
        waiting=pb.Waiting(kind=pb.Waiting.KIND_APPROVAL, what="approval-1"),
        fencing_token=token,
    )
    await client.call(state.stub.ReportActivity, wait, cause())
    await issue(state, "task-2")
    (agent,) = (await shown(state)).agents
    assert agent.HasField("waiting"), "its run waits in task-1 though its packet is for task-2 by now"
    await acquire(state, "run-2", task_id="task-2")
    for task_id in ("task-1", "task-2"):
        (agent,) = (await shown(state, task_id)).agents
        assert (agent.packet.task_id, agent.HasField("waiting")) == ("task-2", False)
        (waiting,) = agent.waiting_runs
        assert (waiting.run_id, waiting.task_id, waiting.waiting.what) == ("run-1", "task-1", "approval-1")
    assert (await verify(state)).equal
    wait.ClearField("waiting")
    await client.call(state.stub.ReportActivity, wait, cause())
    assert list((await shown(state)).agents) == []
    assert (await verify(state)).equal


async def test_what_is_too_long_is_cut_and_said_to_be(state: Running) -> None:
    await issue(state)
    for n in range(101):
        await put_entry(state, f"k{n}", "1", actor="key:boss")
    found = await shown(state)
    assert (len(found.entries), found.task.entries, found.incomplete) == (100, 101, True)


async def test_tasks_are_listed_last_changed_first(state: Running) -> None:
    assert await listed(state) == []
    for n in range(5):
        await issue(state, f"task-{n}")
    await issue(state, "theirs", tenant="acme")
    await put_entry(state, "k", "1", actor="key:boss", tenant="acme", task_id="theirs")
    await put_entry(state, "k", "2", actor="key:boss", task_id="task-2")
    expected = ["task-2", "task-4", "task-3", "task-1", "task-0"]
    await state.follower.reached(await state.log.last_sequence())
    assert await listed(state) == await listed(state, 1) == await listed(state, 2) == expected
    assert await listed(state, tenant="acme") == ["theirs"]
    with pytest.raises(Invalid):
        await client.call(state.stub.ListTasks, pb.ListTasksRequest(page_token="x"), cause())


async def test_a_task_is_known_as_soon_as_its_first_packet_is_answered(state: Running) -> None:
    for n in range(20):
        await issue(state, f"begun-{n}")
        assert (await shown(state, f"begun-{n}")).task.task_id == f"begun-{n}"


async def test_a_task_that_nobody_has_heard_of_is_unknown(state: Running) -> None:
    await issue(state)
    for task_id, tenant in (("task-2", "default"), ("task-1", "acme")):
        with pytest.raises(NotFound) as caught:
            await shown(state, task_id, tenant)
        assert caught.value.reason == "TASK_UNKNOWN"


async def test_a_person_that_mistypes_a_task_makes_none(state: Running) -> None:
    await issue(state)
    before = await state.log.last_sequence()
    mistyped: tuple[Callable[[], Awaitable[object]], ...] = (
        lambda: put_entry(state, "k", "1", actor="key:boss", task_id="task-l"),
        lambda: send(state, "listen", from_agent_id="", actor="key:boss", task="task-l"),
        lambda: send(state, "listen", from_agent_id="", actor="key:boss", task="task-l", to_agent_id="sre-1"),
    )
    for write in mistyped:
        with pytest.raises(NotFound) as caught:
            await write()
        assert caught.value.reason == "TASK_UNKNOWN"
        assert "`provost tasks`" in caught.value.text
    assert await listed(state) == ["task-1"]
    assert await state.log.last_sequence() == before
    await put_entry(state, "k", "1", actor="key:boss")


async def test_what_cannot_be_read_of_a_task_hides_nothing_else_of_it(state: Running) -> None:
    tokens = await join(state, "sre-1", "sre-2")
    await put_entry(state, "analysis", "1")
    await send(state, "hello")
    await advance(state, tokens["sre-1"], "EXECUTE", run_id="run-sre-1")

    async def damaged(aggregate: str) -> pb.GetTaskResponse:
        headers = b"NATS/1.0\r\nce-id: x-" + aggregate[:3].encode() + b"\r\n\r\n"
        await state.follower.reached(
            state.log.put(f"evt.default.state.{aggregate}.Damaged", b"\xff", headers)
        )
        found = await shown(state)
        assert found.incomplete
        return found

    found = await damaged("agent.sre-2")
    assert [(each.agent_id, each.phase) for each in found.agents] == [("sre-1", "EXECUTE")]
    assert list(found.task.agent_ids) == ["sre-1", "sre-2"]
    assert (len(found.entries), len(found.unread_messages)) == (1, 1)
    found = await damaged("board.task-1")
    assert (len(found.entries), len(found.unread_messages)) == (0, 1)
    found = await damaged("inbox.task-1")
    assert (len(found.agents), len(found.entries), len(found.unread_messages)) == (1, 0, 0)
