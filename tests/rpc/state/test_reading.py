"""What is read is what is true: answers are kept for who asks again, and none is older than what was acknowledged."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from google.protobuf.message import Message

from chassis.eventlog.memory import MemoryLog
from chassis.rpc import client
from chassis.sealing import PREFIX
from kernel.faults import NotFound
from provost.state.v1 import state_pb2 as pb
from services.state.domain.view import Part, Place
from services.state.reactor.heartbeats import GOOD_SECONDS, MOST_KNOWN, Heartbeats
from services.state.rpc.answers import Answers
from services.state.wire import CODEC
from tests.fakes.valkey_server import ValkeyServer
from tests.fakes.wait import until
from tests.rpc.state.asks import acquire, advance, get_entry, issue, join, look, put_entry, send, unread
from tests.rpc.state.conftest import Running, cause, serving


async def packet_of(state: Running, version: int = 0) -> pb.Packet:
    request = pb.GetPacketRequest(agent_id="sre-1", version=version)
    return (await client.call(state.stub.GetPacket, request, cause())).packet


async def told_to(state: Running, objective: str, tenant: str = "default") -> int:
    packet = pb.Packet(agent_id="sre-1", task_id="task-1", created_for="run-1", objective=objective)
    request = pb.IssuePacketRequest(packet=packet)
    return (await client.call(state.stub.IssuePacket, request, cause(tenant=tenant))).sequence


async def beat(state: Running) -> pb.HeartbeatResponse:
    return await client.call(state.stub.Heartbeat, pb.HeartbeatRequest(agent_id="sre-1"), cause())


async def test_what_was_acknowledged_here_is_what_is_read_next(state: Running) -> None:
    await issue(state)
    token = (await acquire(state)).lock.fencing_token
    for n in range(20):
        written = await put_entry(state, "analysis", str(n))
        assert await get_entry(state, "analysis") == await get_entry(state, "analysis") == written.entry
        moved = await advance(state, token, f"STEP_{n}")
        for _ in range(2):
            agent = await look(state)
            assert (agent.phase, agent.sequence) == (f"STEP_{n}", moved.sequence)
    heard = (await look(state)).heartbeat_time.ToNanoseconds()
    for _ in range(5):
        await beat(state)
        before, heard = heard, (await look(state)).heartbeat_time.ToNanoseconds()
        assert heard > before
    await put_entry(state, "analysis", "")
    with pytest.raises(NotFound):
        await get_entry(state, "analysis")


async def test_a_packet_is_read_as_the_newest_and_as_it_was(state: Running) -> None:
    for n in (1, 2, 3):
        await told_to(state, f"the {n}. objective")
        assert (await packet_of(state)).objective == f"the {n}. objective"
        for version in range(1, n + 1):
            assert (await packet_of(state, version)).objective == f"the {version}. objective"
    with pytest.raises(NotFound):
        await packet_of(state, 4)


async def test_what_another_replica_wrote_is_read_by_who_names_its_place(
    state: Running, valkey_server: ValkeyServer, tmp_path: Path
) -> None:
    await issue(state)
    async with serving(state.log, valkey_server.url, tmp_path / "other") as other:
        for n in range(10):
            moved = await told_to(state, f"the {n}. objective")
            assert (await look(other, moved)).packet.objective == f"the {n}. objective"
        await acquire(state)
        for n in range(10):
            entry = await put_entry(state, "analysis", str(n))
            assert await get_entry(other, "analysis", at_least_sequence=entry.sequence) == entry.entry
        await look(other)
        await beat(state)
        heard = (await look(state)).heartbeat_time

        async def told() -> bool:
            return (await look(other)).heartbeat_time == heard

        await until(told, "another replica never learns of a heartbeat")


async def test_a_store_that_lost_everything_makes_no_answer_wrong(
    valkey_server: ValkeyServer, tmp_path: Path
) -> None:
    async with serving(MemoryLog(CODEC), valkey_server.url, tmp_path) as state:
        await join(state, "sre-1")
        entry = (await put_entry(state, "analysis", "1")).entry
        agent, packet = await look(state), await packet_of(state)
        await state.store.flushall()
        for _ in range(20):
            found = await look(state)
            found.ClearField("heartbeat_time")
            agent.ClearField("heartbeat_time")
            assert (found, await packet_of(state), await get_entry(state, "analysis")) == (
                agent,
                packet,
                entry,
            )


async def test_tenants_are_never_given_each_others_answers(state: Running) -> None:
    for tenant in ("default", "acme"):
        await told_to(state, f"for {tenant}", tenant)
    for _ in range(2):
        for tenant in ("default", "acme"):
            assert (await look(state, tenant=tenant)).packet.objective == f"for {tenant}"


def test_kept_answers_are_bounded_and_good_for_the_very_same_record_alone() -> None:
    answers, made = Answers(most_bytes=20_000), list[str]()

    def told(key: int, record: object, text: str, beside: object = None) -> bytes | Message:
        def make() -> Message:
            made.append(text)
            return pb.Entry(value=text)

        answer: bytes | Message = answers.told(key, record, make, beside)
        return answer

    one, other = object(), object()
    assert told(1, one, "a") == told(1, one, "a") == pb.Entry(value="a").SerializeToString()
    told(1, one, "b", beside=7)
    told(1, other, "c", beside=7)
    assert made == ["a", "b", "c"]
    sealed = told(1, one, f"{PREFIX}x")
    assert isinstance(sealed, pb.Entry), "what is sealed cannot be opened in bytes"
    for key in range(1000):
        told(key, one, "x" * 100)
    made.clear()
    told(999, one, "x" * 100)
    assert made == [], "the newest answer is not kept"
    told(1, one, "x" * 100)
    assert made == ["x" * 100], "old answers are never let go"
    told(5, one, "y" * 30_000)
    assert isinstance(told(5, one, "y" * 30_000), bytes), "one that is too large is told all the same"


async def test_heartbeats_are_asked_for_together_and_few_are_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked, now = list[int](), [1.0]
    monkeypatch.setattr("services.state.reactor.heartbeats.monotonic", lambda: now[0])

    async def read(places: Sequence[Place]) -> list[str]:
        asked.append(len(places))
        return [place.id for place in places]

    heartbeats = Heartbeats(read)
    places = [Place("default", f"a-{n}", Part.HEARTBEAT) for n in range(200)]
    assert [await heartbeats.of(place) for place in places] == [place.id for place in places]
    asked.clear()
    for place in places:
        await heartbeats.of(place)
    assert asked == [], "a moment ago is asked for again"
    now[0] += GOOD_SECONDS
    assert await asyncio.gather(*map(heartbeats.of, places)) == [place.id for place in places]
    assert asked == [len(places)], "who was asked for lately is not asked for together"
    heartbeats.heard(places[0], "just now")
    assert await heartbeats.of(places[0]) == "just now"
    assert len(asked) == 1, "what was heard here is asked for"
    for n in range(2 * MOST_KNOWN):
        await heartbeats.of(Place("default", f"b-{n}", Part.HEARTBEAT))
    assert len(heartbeats._known) <= MOST_KNOWN


async def test_what_agents_read_while_they_work_does_not_wait_for_the_store(
    state: Running, valkey_server: ValkeyServer, tmp_path: Path
) -> None:
    tokens = await join(state, "sre-1", "sre-2")
    await beat(state)
    async with (
        serving(state.log, valkey_server.url, tmp_path / "other") as other,
        state.mirror.held(),
        other.mirror.held(),
    ):
        entry = await put_entry(state, "analysis", '"the disk is full"')
        sent = await send(state, "look at the disk", to_agent_id="sre-2")
        moved = await advance(state, tokens["sre-1"], "EXECUTE", run_id="run-sre-1")
        for replica in (state, other):
            agent = await look(replica, moved.sequence)
            assert (agent.phase, agent.sequence) == ("EXECUTE", moved.sequence)
            assert agent.HasField("heartbeat_time")
            assert await unread(replica, "sre-2", at_least_sequence=sent.sequence) == ["look at the disk"]
            request = pb.ListEntriesRequest(task_id="task-1", at_least_sequence=entry.sequence)
            found = await client.call(replica.stub.ListEntries, request, cause())
            assert list(found.entries) == [entry.entry]
