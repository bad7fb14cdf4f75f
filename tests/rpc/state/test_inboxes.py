"""Messages over gRPC: to one or to all, in order, until they are acknowledged."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from chassis.rpc import client
from kernel.faults import Denied, Exhausted, Fault, Invalid, Refused
from provost.state.v1 import state_pb2 as pb
from services.state.domain import inbox
from services.state.domain.inbox import KEPT_READ, MAX_BODY_BYTES, MAX_WAITING
from services.state.domain.lock import StaleTokenRefused
from services.state.wire import CODEC
from tests.fakes.valkey_server import ValkeyServer
from tests.rpc.state.asks import acquire, join, look, packet, recorded, send, unread, verify
from tests.rpc.state.conftest import Running, cause, serving
from tests.rpc.state.test_tasks import revoke

CREW = ("alpha", "beta", "gamma")


async def acknowledge(
    state: Running, agent_id: str, *ids: str, up_to: int = 0, fencing_token: int = 0
) -> int:
    request = pb.AcknowledgeMessagesRequest(
        task_id="task-1",
        agent_id=agent_id,
        up_to_sequence=up_to,
        message_ids=ids,
        fencing_token=fencing_token,
    )
    return int((await client.call(state.stub.AcknowledgeMessages, request, cause())).sequence)


async def test_a_message_goes_to_one_or_to_all_others_and_waits_until_each_has_it(state: Running) -> None:
    await join(state, *CREW)
    one = await send(state, "to beta", from_agent_id="alpha", to_agent_id="beta")
    every = await send(state, "to all", from_agent_id="alpha")
    assert [list(each.message.recipients) for each in (one, every)] == [["beta"], ["beta", "gamma"]]
    assert one.message.sequence == one.sequence < every.sequence
    waiting = {agent_id: await unread(state, agent_id) for agent_id in CREW}
    assert waiting == {"alpha": [], "beta": ["to beta", "to all"], "gamma": ["to all"]}
    await acknowledge(state, "beta", every.message.message_id)
    assert await unread(state, "beta") == ["to beta"]
    assert await unread(state, "gamma") == ["to all"]
    await acknowledge(state, "gamma", up_to=every.sequence)
    assert await unread(state, "gamma") == []
    assert await unread(state, "gamma", acknowledged_too=True) == ["to all"]
    assert await unread(state, "") == ["to beta"]
    assert (await verify(state)).equal


async def test_who_just_took_its_lock_gets_what_is_sent_to_all(state: Running) -> None:
    await join(state, "alpha")
    for n in range(5):
        await join(state, f"late-{n}")
        sent = await send(state, "hello", from_agent_id="alpha")
        assert f"late-{n}" in sent.message.recipients


async def test_messages_that_were_not_acknowledged_come_again(state: Running) -> None:
    await join(state, *CREW)
    await send(state, "again", from_agent_id="alpha")
    assert await unread(state, "beta") == await unread(state, "beta") == ["again"]
    before = await state.log.last_sequence()
    await acknowledge(state, "beta", "00000000-no-such-message")
    await acknowledge(state, "alpha", up_to=before)  # nothing waits for it
    await acknowledge(state, "stranger", up_to=before)
    assert await state.log.last_sequence() == before


@pytest.mark.parametrize("let_go", [True, False])
async def test_a_request_id_of_another_message_is_refused(
    state: Running, let_go: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "KEPT_READ", 1)
    await join(state, *CREW)
    sent = await send(state, "one", from_agent_id="alpha", to_agent_id="beta", request_id="once")
    if let_go:
        last = await send(state, "last", from_agent_id="alpha", to_agent_id="beta")
        await acknowledge(state, "beta", up_to=sent.sequence)
        await acknowledge(state, "beta", up_to=last.sequence)
    for text, to in (("another", "beta"), ("one", "gamma"), ("one", "")):
        with pytest.raises(Invalid) as refused:
            await send(state, text, from_agent_id="alpha", to_agent_id=to, request_id="once")
        assert (refused.value.reason, refused.value.facts["field"]) == ("FIELD_INVALID", "request_id")
    again = await send(state, "one", from_agent_id="alpha", to_agent_id="beta", request_id="once")
    assert again == sent


async def test_an_acknowledgement_and_a_message_of_one_request_id_are_two(state: Running) -> None:
    await join(state, *CREW)
    await send(state, "hello", from_agent_id="alpha", to_agent_id="beta")
    request = pb.AcknowledgeMessagesRequest(
        request_id="once", task_id="task-1", agent_id="beta", up_to_sequence=10**6
    )
    await client.call(state.stub.AcknowledgeMessages, request, cause())
    sent = await send(state, "answer", from_agent_id="beta", to_agent_id="alpha", request_id="once")
    assert await unread(state, "alpha") == ["answer"]
    assert sent.message.from_agent_id == "beta"


async def test_the_same_request_again_sends_nothing_again(state: Running) -> None:
    await join(state, *CREW)
    first = await send(state, "once", from_agent_id="alpha", request_id="r1")
    assert await send(state, "once", from_agent_id="alpha", request_id="r1") == first
    for agent_id in ("beta", "gamma"):
        await acknowledge(state, agent_id, up_to=first.sequence)
    for n in range(KEPT_READ + 1):
        sent = await send(state, str(n), from_agent_id="alpha", to_agent_id="beta")
        await acknowledge(state, "beta", sent.message.message_id)
    assert len(await unread(state, "", acknowledged_too=True, page_size=7)) == KEPT_READ
    assert await send(state, "once", from_agent_id="alpha", request_id="r1") == first
    assert await unread(state, "beta") == []
    assert (await verify(state)).equal


async def test_each_sender_is_heard_in_its_order_from_two_processes(
    state: Running, valkey_server: ValkeyServer, tmp_path: Path
) -> None:
    await join(state, *CREW)
    async with serving(state.log, valkey_server.url, tmp_path / "other") as other:
        await other.follower.reached(await state.log.last_sequence())

        async def talk(where: Running, sender: str) -> None:
            for n in range(20):
                await send(where, f"{sender} {n}", from_agent_id=sender, to_agent_id="gamma")

        await asyncio.gather(talk(state, "alpha"), talk(other, "beta"))
        last = await state.log.last_sequence()
        heard = await unread(other, "gamma", at_least_sequence=last, page_size=7)
        for sender in ("alpha", "beta"):
            assert [each for each in heard if each.startswith(sender)] == [f"{sender} {n}" for n in range(20)]
        assert heard == await unread(state, "gamma", at_least_sequence=last)
        assert (await verify(other)).equal


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"to_agent_id": "nobody"}, "RECIPIENT_UNKNOWN"),
        ({"to_agent_id": "alpha"}, "RECIPIENT_UNKNOWN"),
        ({"from_agent_id": "stranger"}, "RECIPIENT_UNKNOWN"),
        ({"text": "x" * MAX_BODY_BYTES}, "MESSAGE_TOO_LARGE"),
        ({"in_reply_to": "a b"}, "MALFORMED_ID"),
        ({"labels": ["No Label"]}, "FIELD_INVALID"),
    ],
)
async def test_what_cannot_be_sent_leaves_nothing_behind(
    state: Running, fields: dict[str, Any], reason: str
) -> None:
    await join(state, *CREW)
    before = await state.log.last_sequence()
    with pytest.raises(Fault) as caught:
        await send(state, **{"text": "hello", "from_agent_id": "alpha", **fields})
    assert caught.value.reason == reason
    assert await state.log.last_sequence() == before


async def test_nobody_else_there_is_nobody_to_send_to(state: Running) -> None:
    await join(state, "alpha")
    with pytest.raises(Invalid) as caught:
        await send(state, "hello?", from_agent_id="alpha")
    assert caught.value.reason == "RECIPIENT_UNKNOWN"
    assert caught.value.text.startswith("to_agent_id: nobody else works on task ")
    sent = await send(state, "listen", from_agent_id="", actor="key:boss")
    assert (sent.message.from_agent_id, list(sent.message.recipients)) == ("key-boss", ["alpha"])


async def read_by_person(state: Running, role: str = "operator", **fields: Any) -> int:
    request = pb.AcknowledgeMessagesRequest(
        **{"task_id": "task-1", "agent_id": "beta", "up_to_sequence": 1000, **fields}
    )
    asked = cause(actor="key:boss")
    return int((await client.call(state.stub.AcknowledgeMessages, request, asked, roles=(role,))).sequence)


async def test_a_person_takes_messages_for_read_in_an_agents_name_and_it_is_recorded_whose_hand_it_was(
    state: Running,
) -> None:
    await join(state, "alpha", "beta")
    await send(state, "first", from_agent_id="alpha")
    second = await send(state, "second", from_agent_id="alpha")
    with pytest.raises(Denied):
        await read_by_person(state, "viewer")
    await read_by_person(state, up_to_sequence=0, message_ids=[second.message.message_id])
    assert await unread(state, "beta") == ["first"]
    sequence = await read_by_person(state)
    assert await unread(state, "beta") == []
    last = state.log.recorded()[-1]
    assert (last.sequence, last.headers["ce-actor"]) == (sequence, "key:boss")
    assert (await verify(state)).equal


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"agent_id": "betta"}, "RECIPIENT_UNKNOWN"),
        ({"task_id": "tusk-1"}, "TASK_UNKNOWN"),
        ({"up_to_sequence": 0}, "FIELD_INVALID"),
        ({"fencing_token": 3}, "FIELD_INVALID"),
    ],
)
async def test_a_person_who_mistypes_is_told_so(state: Running, fields: dict[str, Any], reason: str) -> None:
    await join(state, "alpha", "beta")
    await send(state, "first", from_agent_id="alpha")
    with pytest.raises(Fault) as caught:
        await read_by_person(state, **fields)
    assert caught.value.reason == reason
    assert await unread(state, "beta") == ["first"]


async def test_what_was_sent_to_a_revoked_agent_hinders_nobody_and_a_person_clears_it(
    state: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "MAX_WAITING", 10)
    await join(state, *CREW)
    for n in range(10):
        await send(state, str(n), from_agent_id="alpha", to_agent_id="beta")
    every = await send(state, "to all", from_agent_id="alpha")
    assert (list(every.message.recipients), list(every.message.passed_over)) == (["gamma"], ["beta"])
    await send(state, "to gamma", from_agent_id="alpha", to_agent_id="gamma")
    await state.follower.reached(await revoke(state, "beta"))
    every = await send(state, "to all", from_agent_id="alpha")
    assert (list(every.message.recipients), list(every.message.passed_over)) == (["gamma"], [])
    await read_by_person(state, up_to_sequence=every.sequence)
    assert await unread(state, "") == ["to all", "to gamma", "to all"]
    assert (await verify(state)).equal


async def test_who_left_for_another_task_is_sent_nothing_any_more(state: Running) -> None:
    tokens = await join(state, *CREW)
    given_back = pb.ReleaseLockRequest(
        agent_id="beta", task_id="task-1", holder="run-beta", fencing_token=tokens["beta"]
    )
    await client.call(state.stub.ReleaseLock, given_back, cause())
    every = await send(state, "it may come back", from_agent_id="alpha")
    assert list(every.message.recipients) == ["beta", "gamma"]
    await join(state, "beta", task_id="task-2")
    every = await send(state, "it has left", from_agent_id="alpha")
    assert list(every.message.recipients) == ["gamma"]
    with pytest.raises(Invalid) as caught:
        await send(state, "come back", from_agent_id="alpha", to_agent_id="beta")
    assert caught.value.reason == "RECIPIENT_UNKNOWN"
    assert await unread(state, "beta") == ["it may come back"]


async def test_a_run_that_waits_is_still_sent_to_while_another_has_its_agent(state: Running) -> None:
    token = (await join(state, *CREW))["beta"]
    given_back = pb.ReleaseLockRequest(
        agent_id="beta", task_id="task-1", holder="run-beta", fencing_token=token
    )
    await client.call(state.stub.ReleaseLock, given_back, cause())
    waits = pb.ReportActivityRequest(
        agent_id="beta",
        task_id="task-1",
        run_id="run-beta",
        waiting=pb.Waiting(kind=pb.Waiting.KIND_APPROVAL, what="approval-1"),
        fencing_token=token,
    )
    await client.call(state.stub.ReportActivity, waits, cause())
    issued = pb.IssuePacketRequest(packet=packet("task-2", "beta"))
    await client.call(state.stub.IssuePacket, issued, cause())
    await acquire(state, "run-2", agent_id="beta", task_id="task-2")
    every = await send(state, "for when you go on", from_agent_id="alpha")
    assert list(every.message.recipients) == ["beta", "gamma"]


async def test_a_stale_token_sends_nothing_and_is_recorded(state: Running) -> None:
    token = (await join(state, "alpha", "beta"))["alpha"]
    await send(state, "still mine", from_agent_id="alpha", fencing_token=token)
    taken = pb.ForceReleaseLockRequest(agent_id="alpha", reason="it hangs")
    await client.call(state.stub.ForceReleaseLock, taken, cause(), roles=("operator",))
    with pytest.raises(Refused) as caught:
        await send(state, "no longer", from_agent_id="alpha", fencing_token=token)
    assert caught.value.reason == "FENCING_TOKEN_STALE"
    assert isinstance(CODEC.decode(state.log.recorded()[-1]).event, StaleTokenRefused)
    assert await unread(state, "beta") == ["still mine"]
    with pytest.raises(Invalid):
        await send(state, "x", from_agent_id="", actor="key:boss", fencing_token=token)


async def test_a_full_inbox_says_so_and_takes_more_when_some_is_acknowledged(state: Running) -> None:
    await join(state, "alpha", "beta")
    for n in range(MAX_WAITING):
        sent = await send(state, str(n), from_agent_id="alpha")
    with pytest.raises(Exhausted) as caught:
        await send(state, "one more", from_agent_id="alpha")
    assert caught.value.reason == "INBOX_FULL"
    assert await unread(state, "beta", page_size=500) == [str(n) for n in range(MAX_WAITING)]
    await acknowledge(state, "beta", up_to=sent.sequence - 1)
    assert await unread(state, "beta") == [str(MAX_WAITING - 1)]
    await send(state, "one more", from_agent_id="alpha")
    assert (await verify(state)).equal


async def test_who_lost_its_lock_takes_no_message_from_who_has_it(state: Running) -> None:
    token = (await join(state, "alpha", "beta"))["beta"]
    for text in ("first", "second"):
        last = await send(state, text, from_agent_id="alpha")
    await acknowledge(state, "beta", up_to=last.sequence - 1, fencing_token=token)
    assert await unread(state, "beta") == ["second"]
    taken = pb.ForceReleaseLockRequest(agent_id="beta", reason="it hangs")
    await client.call(state.stub.ForceReleaseLock, taken, cause(), roles=("operator",))
    with pytest.raises(Refused) as caught:
        await acknowledge(state, "beta", up_to=last.sequence, fencing_token=token)
    assert caught.value.reason == "FENCING_TOKEN_STALE"
    assert await unread(state, "beta") == ["second"]
    assert len(recorded(state, StaleTokenRefused)) == 1


async def test_what_a_run_is_told_labels_it(state: Running) -> None:
    await join(state, "alpha", "sre-1")
    await send(state, "secret", from_agent_id="alpha", labels=["secret"])
    assert await unread(state, "sre-1") == ["secret"]
    assert list((await look(state)).labels) == []
    assert await unread(state, "sre-1", run_id="run-1") == ["secret"]
    assert list((await look(state)).labels) == ["secret"]
    request = pb.ListMessagesRequest(task_id="task-1", agent_id="sre-1", run_id="run-1")
    with pytest.raises(Denied):
        await client.call(state.stub.ListMessages, request, cause(), roles=("viewer",))


async def test_who_reads_what_another_was_sent_is_labelled_and_not_the_other(state: Running) -> None:
    await join(state, "alpha", "beta", "sre-1")
    await send(state, "secret", from_agent_id="alpha", to_agent_id="beta", labels=["secret"])
    reading = {"reading_agent_id": "sre-1", "reading_run_id": "run-sre-1"}

    async def refused(**fields: str) -> tuple[str, object]:
        with pytest.raises(Invalid) as caught:
            await unread(state, "beta", **fields)
        return caught.value.reason, caught.value.facts.get("field")

    assert await refused(run_id="run-sre-1") == ("FIELD_INVALID", "run_id"), "it is a run of sre-1"
    assert await refused(run_id="run-beta", **reading) == ("FIELD_INVALID", "run_id")
    assert await refused(reading_agent_id="sre-1") == ("MALFORMED_ID", "run_id")
    await revoke(state, "beta")
    assert list((await look(state)).labels) == []
    assert await unread(state, "beta", **reading) == ["secret"]
    assert list((await look(state)).labels) == ["secret"]
    of_beta = pb.GetAgentStateRequest(agent_id="beta")
    assert not (await client.call(state.stub.GetAgentState, of_beta, cause())).agent.labels
    assert await unread(state, "", **reading) == ["secret"], "of all"


async def test_each_tenant_has_its_own_messages(state: Running) -> None:
    await join(state, "alpha", "beta")
    await send(state, "ours", from_agent_id="alpha")
    request = pb.ListMessagesRequest(task_id="task-1", agent_id="beta", acknowledged_too=True)
    assert not (await client.call(state.stub.ListMessages, request, cause(tenant="acme"))).messages
    theirs = pb.SendMessageRequest(
        task_id="task-1", from_agent_id="alpha", to_agent_id="beta", type="STATUS", body="1"
    )
    with pytest.raises(Invalid) as caught:
        await client.call(state.stub.SendMessage, theirs, cause(tenant="acme"))
    assert caught.value.reason == "RECIPIENT_UNKNOWN"
