"""A revoked agent has no lock and writes nothing, and nobody says so before it is true."""

import asyncio
from typing import Any

import pytest

from chassis import process
from chassis.rpc import client
from kernel.events import Head, Stream
from kernel.faults import Fault
from provost.state.v1 import state_pb2 as pb
from services.state.domain.lock import LockAcquired, LockForced, StaleTokenRefused
from services.state.handlers.losing import Losing
from services.state.handlers.writing import Writing
from tests.rpc.state.asks import (
    acquire,
    advance,
    get_entry,
    issue,
    join,
    look,
    put_entry,
    recorded,
    save,
    send,
    unread,
    verify,
)
from tests.rpc.state.conftest import Running, cause
from tests.rpc.state.test_tasks import revoke


async def refusal(asked: Any) -> str:
    with pytest.raises(Fault) as refused:
        await asked
    return refused.value.reason


def losing(state: Running, writing: Writing | None = None) -> Losing:
    return Losing(state.kept, state.view, state.turns, writing or Writing(state.view), process)


async def revoked(state: Running, agent_id: str = "sre-1") -> None:
    await state.follower.reached(await revoke(state, agent_id))


async def test_the_lock_is_taken_away_once_and_its_token_opens_nothing(state: Running) -> None:
    await issue(state)
    token = (await acquire(state)).lock.fencing_token
    await revoked(state)
    it = losing(state)
    assert await it.locks("default", "sre-1") == 1
    (forced,) = recorded(state, LockForced)
    assert isinstance(forced, LockForced)
    assert (forced.fencing_token, forced.by, forced.reason) == (
        token,
        "service:state",
        "its agent was revoked",
    )
    assert await it.locks("default", "sre-1") == 0
    assert await losing(state).locks("default", "sre-1") == 0
    assert len(recorded(state, LockForced)) == 1
    assert await refusal(advance(state, token)) == "AGENT_REVOKED"
    assert not recorded(state, StaleTokenRefused), "the refused were counted as stale"


async def test_a_lock_that_was_granted_just_before_is_taken_away_too(state: Running) -> None:
    await issue(state)
    await revoked(state)
    # Granted by another process that did not know yet; here it is known before anybody asks.
    at = process.now()
    agent = state.kept.agents.head("default", "sre-1")
    event = LockAcquired("sre-1", "task-1", "run-9", at, at.replace(year=at.year + 1))
    stream = Stream("default", "state", "agent", "sre-1")
    appended = await state.log.append(stream, (event,), after=agent, cause=cause("late"))
    assert await losing(state).locks("default", "sre-1") == 1, f"missed the lock at {appended.sequence}"
    lock = state.kept.agents.current("default", "sre-1").lock
    assert lock is not None
    assert (lock.holder, lock.released) == ("run-9", True)


async def test_what_a_revoked_agent_writes_is_refused_everywhere(state: Running) -> None:
    await issue(state)
    await join(state, "sre-1", "sre-2")
    await revoked(state)
    for asked in (
        put_entry(state, "k", '"v"'),
        send(state, "hello"),
        save(state, "s1"),
        acquire(state, "run-2"),
    ):
        assert await refusal(asked) == "AGENT_REVOKED"
    person = await put_entry(state, "k", '"by a person"', actor="key:sre-1")  # a name of its own
    assert person.entry.version == 1


def report(state: Running, what: str = "", **fields: Any) -> Any:
    request = pb.ReportActivityRequest(agent_id="sre-1", task_id="task-1", run_id="run-sre-1", **fields)
    if what:
        request.waiting.CopyFrom(pb.Waiting(kind=pb.Waiting.KIND_APPROVAL, what=what))
    return client.call(state.stub.ReportActivity, request, cause())


async def test_a_revoked_agent_declares_no_wait_reads_nothing_labelled_and_acknowledges_nothing(
    state: Running,
) -> None:
    await join(state, "sre-1", "sre-2")
    await report(state, "approval-1")
    await send(state, "to the one who comes next", from_agent_id="sre-2", to_agent_id="sre-1", labels=["pii"])
    await put_entry(state, "k", '"v"', agent_id="sre-2", labels=["pii"])
    await revoked(state)
    before = await state.log.last_sequence()
    mail = pb.ListMessagesRequest(task_id="task-1", agent_id="sre-1", run_id="run-sre-1")
    read = pb.AcknowledgeMessagesRequest(task_id="task-1", agent_id="sre-1", up_to_sequence=before)
    for asked in (
        report(state, "approval-2"),
        report(state, action="ls", result="empty"),
        get_entry(state, "k", agent_id="sre-1", run_id="run-sre-1"),
        client.call(state.stub.ListMessages, mail, cause()),
        client.call(state.stub.AcknowledgeMessages, read, cause()),
    ):
        assert await refusal(asked) == "AGENT_REVOKED"
    assert await state.log.last_sequence() == before
    assert await unread(state, "sre-1") == ["to the one who comes next"]


async def test_of_a_revoked_agent_people_say_what_is_read_and_its_run_that_it_waits_no_more(
    state: Running,
) -> None:
    await join(state, "sre-1", "sre-2")
    await report(state, "approval-1")
    sent = await send(state, "hello", from_agent_id="sre-2", to_agent_id="sre-1")
    await revoked(state)
    await report(state)
    assert not (await look(state)).HasField("waiting")
    read = pb.AcknowledgeMessagesRequest(task_id="task-1", agent_id="sre-1", up_to_sequence=sent.sequence)
    await client.call(state.stub.AcknowledgeMessages, read, cause(actor="key:ops"), roles=("operator",))
    assert await unread(state, "sre-1") == []


async def test_nothing_is_said_while_it_still_writes(state: Running) -> None:
    await issue(state)
    writing = Writing(state.view)
    begun, free = asyncio.Event(), asyncio.Event()

    async def write() -> None:
        with writing.by("default", "sre-1"):
            begun.set()
            await free.wait()

    at_it = asyncio.create_task(write())
    await begun.wait()
    await revoked(state)
    saying = asyncio.create_task(losing(state, writing).writes("default", "sre-1"))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not saying.done(), "said to write nothing, and still at it"
    with pytest.raises(Fault), writing.by("default", "sre-1"):
        pass
    free.set()
    assert await saying == 1
    await at_it
    assert await losing(state, writing).writes("default", "sre-1") == 0


async def test_a_revocation_that_cannot_be_read_revokes_and_a_message_that_is_no_event_does_not(
    state: Running,
) -> None:
    await issue(state)
    token = (await acquire(state)).lock.fencing_token
    subject = "evt.default.policy.agent.sre-1.AgentRevoked"
    await state.follower.reached(state.log.put(subject, b"{}", b""))
    await advance(state, token)
    headers = b"NATS/1.0\r\nce-id: r1\r\nce-type: provost.policy.v1.AgentRevoked\r\n\r\n"
    damaged = state.log.put(subject, b"\xff\xff", headers)
    await state.follower.reached(damaged)
    it = losing(state)
    assert [await it.writes("default", "sre-1"), await it.locks("default", "sre-1")] == [0, 1]
    for asked in (advance(state, token), put_entry(state, "k", '"v"'), acquire(state, "run-2")):
        assert await refusal(asked) == "AGENT_REVOKED"
    request = pb.ListRevocationsRequest()
    (told,) = (await client.call(state.stub.ListRevocations, request, cause(), roles=("viewer",))).revocations
    assert (told.agent_id, told.kind) == ("sre-1", "unreadable")
    assert told.details == f"event {damaged}, which cannot be read"
    assert (await verify(state)).equal


async def test_a_revocation_that_is_not_known_is_not_spoken_of(state: Running) -> None:
    await issue(state)
    for surface in losing(state).surfaces.values():
        with pytest.raises(RuntimeError):
            await surface("default", "sre-1")
    assert state.kept.agents.head("default", "sre-1") != Head()
