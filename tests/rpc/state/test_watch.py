"""Watches over gRPC: what is there, what changes, cursors; readers that are slow or never read; a server that stops."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
import pytest_asyncio
from prometheus_client import REGISTRY

from chassis.eventlog.memory import MemoryLog
from chassis.rpc import client
from chassis.rpc.cause import INTERNAL_KEY, metadata_of
from chassis.rpc.faults import fault_of
from chassis.rpc.opening import Opening
from kernel.faults import Denied, Fault, Invalid, Unavailable
from provost.state.v1 import state_pb2 as pb
from services.state.rpc.watch import WatchRpc
from services.state.wire import CODEC
from tests.fakes.subject_keys import MemorySubjectKeys
from tests.fakes.valkey_server import ValkeyServer
from tests.fakes.wait import until
from tests.rpc.state.asks import acquire, advance, issue, join, send
from tests.rpc.state.conftest import KEY, Running, cause, serving


def watch(state: Running, cursor: str = "", tenant: str = "default", **fields: Any) -> Any:
    request = pb.WatchRequest(cursor=cursor, **fields)
    return client.stream(state.stub.Watch, request, cause(tenant=tenant), 30, roles=("viewer",))


async def phase_of(answers: AsyncIterator[pb.WatchResponse], phase: str) -> pb.WatchResponse:
    """The answer that tells of an agent in this phase."""
    async for answer in answers:
        if any(change.agent.phase == phase for change in answer.changes):
            return answer
    raise AssertionError(f"nobody came to {phase}")


async def test_what_is_there_then_what_changes(state: Running) -> None:
    await issue(state)
    token = (await acquire(state)).lock.fencing_token
    async with aclosing(watch(state)) as answers:
        first = await anext(answers)
        assert first.snapshot_complete
        (there,) = first.changes
        assert there.agent.agent_id == "sre-1"
        assert (there.agent.lock.holder, there.agent.lock.fencing_token) == ("run-1", token)
        advanced = await advance(state, token, "PLAN")
        change = (await phase_of(answers, "PLAN")).changes[0]
        assert (change.sequence, change.agent.packet.objective) == (
            advanced.sequence,
            "find out why the disk is full",
        )
    await until(lambda: state.watching.open == 0, "the watch was not closed")


async def test_a_tenant_sees_its_own_and_a_filter_its_part(state: Running) -> None:
    await issue(state)
    async with aclosing(watch(state, tenant="other")) as answers:
        assert not (await anext(answers)).changes
    async with aclosing(watch(state, task_id="task-9")) as answers:
        assert not (await anext(answers)).changes
    async with aclosing(watch(state, task_id="task-1", agent_id="sre-1")) as answers:
        assert len((await anext(answers)).changes) == 1


async def test_a_watch_goes_on_from_its_cursor_with_everything_once(state: Running) -> None:
    await issue(state)
    token = (await acquire(state)).lock.fencing_token
    seen: list[int] = []
    cursor = ""
    for phase in ("INTAKE", "PLAN", "EXECUTE", "VERIFY"):
        async with aclosing(watch(state, cursor)) as answers:
            first = await anext(answers)
            assert first.snapshot_complete is (not cursor)
            seen += [change.sequence for change in first.changes]
            advanced = await advance(state, token, phase)
            answer = await phase_of(answers, phase)
            seen += [change.sequence for change in answer.changes]
            cursor = answer.cursor
        assert seen[-1] == advanced.sequence
        advanced = await advance(state, token, "AWAY")
    async with aclosing(watch(state, cursor)) as answers:
        seen += [change.sequence for change in (await anext(answers)).changes]
    assert seen == sorted(set(seen))
    assert seen[-1] == advanced.sequence


async def test_what_is_no_cursor_of_this_watch_is_refused(state: Running) -> None:
    await issue(state)
    async with aclosing(watch(state)) as answers:
        cursor = (await anext(answers)).cursor
    for asked in (
        watch(state, cursor, tenant="other"),
        watch(state, cursor, task_id="task-1"),
        watch(state, "what I made up"),
        watch(state, "W10"),
    ):
        with pytest.raises(Invalid) as refused:
            await anext(asked)
        assert refused.value.reason == "CURSOR_INVALID"
    for fields in ({"task_id": "no task"}, {"agent_id": "é"}):
        with pytest.raises(Invalid):
            await anext(watch(state, **fields))


async def test_who_has_no_role_watches_nothing(state: Running) -> None:
    asked = client.stream(state.stub.Watch, pb.WatchRequest(), cause(), 5, roles=("nobody",))
    with pytest.raises(Denied):
        await anext(asked)


async def test_signs_of_life_come_with_cursors(valkey_server: ValkeyServer, tmp_path: Path) -> None:
    log = MemoryLog(CODEC)
    async with serving(log, valkey_server.url, tmp_path, heartbeat_seconds=0.1) as state:
        async with aclosing(watch(state)) as answers:
            first = await anext(answers)
            await issue(state, tenant="other")
            sign = await anext(answers)
            while sign.cursor == first.cursor:
                sign = await anext(answers)
            assert not sign.changes
        async with aclosing(watch(state, sign.cursor)) as answers:
            assert not (await anext(answers)).changes


async def test_a_replica_goes_on_with_the_cursor_of_another(
    valkey_server: ValkeyServer, tmp_path: Path
) -> None:
    log = MemoryLog(CODEC)
    async with (
        serving(log, valkey_server.url, tmp_path) as one,
        serving(log, valkey_server.url, tmp_path) as other,
    ):
        await issue(one)
        token = (await acquire(one)).lock.fencing_token
        async with aclosing(watch(one)) as answers:
            cursor = (await anext(answers)).cursor
        advanced = await advance(one, token, "PLAN")
        async with aclosing(watch(other, cursor)) as answers:
            change = (await phase_of(answers, "PLAN")).changes[0]
        assert change.sequence == advanced.sequence


async def test_what_is_sealed_is_opened_for_people_and_stays_sealed_between_services(
    valkey_server: ValkeyServer, tmp_path: Path
) -> None:
    keys = MemorySubjectKeys()
    sealed = (await keys.of_subject("default", "alice")).seal("find out why alice's disk is full")
    async with serving(MemoryLog(CODEC), valkey_server.url, tmp_path, tell=Opening(keys)) as state:
        packet = pb.Packet(agent_id="sre-1", task_id="task-1", objective=sealed)
        await client.call(state.stub.IssuePacket, pb.IssuePacketRequest(packet=packet), cause())
        told = {}
        for role in ("viewer", "service"):
            asked = client.stream(state.stub.Watch, pb.WatchRequest(), cause(), 10, roles=(role,))
            async with aclosing(asked) as answers:  # type: ignore[type-var]  # it is a generator
                told[role] = (await anext(answers)).changes[0].agent.packet.objective
    assert told == {"viewer": "find out why alice's disk is full", "service": sealed}


class Unread:
    """A watch whose reader opens it and then leaves it be; the connection has room for little."""

    def __init__(self, state: Running, cursor: str = "") -> None:
        self._channel = grpc.aio.insecure_channel(
            f"127.0.0.1:{state.server.port}",
            options=[
                ("grpc.use_local_subchannel_pool", 1),
                ("grpc.http2.lookahead_bytes", 1024),
                ("grpc.http2.bdp_probe", 0),
            ],
        )
        stub: Any = state.stub.__class__(self._channel)
        metadata = (*metadata_of(cause(), ("viewer",)), (INTERNAL_KEY, KEY))
        self.call = stub.Watch(pb.WatchRequest(cursor=cursor), metadata=metadata, timeout=60)
        self.cursor = ""
        """Of the last answer that had one."""

    async def rest(self) -> tuple[list[int], Fault]:
        """The sequences it would have read, and why it ended."""
        seen: list[int] = []
        try:
            async for answer in self.call:
                seen += [change.sequence for change in answer.changes]
                self.cursor = answer.cursor or self.cursor
        except grpc.aio.AioRpcError as error:
            fault = fault_of(error)
            assert isinstance(fault, Fault)
            return seen, fault
        raise AssertionError("a watch does not end by itself")

    async def close(self) -> None:
        self.call.cancel()
        await self._channel.close()


@pytest_asyncio.fixture
async def busy(state: Running) -> AsyncIterator[Running]:
    """With a large packet, so that every change is some kilobytes."""
    packet = pb.Packet(
        agent_id="sre-1", task_id="task-1", objective="find out", deliverables=["d" * 400] * 40
    )
    await client.call(state.stub.IssuePacket, pb.IssuePacketRequest(packet=packet), cause())
    yield state


async def test_who_reads_slowly_is_told_the_last_of_each_thing_and_not_of_every_change(busy: Running) -> None:
    """Fault 12: memory is bounded, the lag can be seen, and nothing is lost."""
    token = (await acquire(busy)).lock.fencing_token
    slow = Unread(busy)
    first = await slow.call.read()
    assert first.snapshot_complete
    for n in range(300):
        last = await advance(busy, token, "PLAN", step=f"s-{n}")
    assert busy.watching.behind > 0
    assert REGISTRY.get_sample_value("provost_state_watch_lag") == busy.watching.behind
    sequences: list[int] = []
    steps: list[str] = []
    async with asyncio.timeout(20):
        while not steps or steps[-1] != "s-299":
            answer = await slow.call.read()
            sequences += [change.sequence for change in answer.changes]
            steps += [change.agent.step for change in answer.changes]
    assert sequences == sorted(set(sequences))
    assert sequences[-1] == last.sequence
    assert len(sequences) < 150  # gathered while it did not read
    await slow.close()


async def test_who_never_reads_is_let_go_with_a_cursor_that_misses_nothing(
    state: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 13."""
    monkeypatch.setattr(WatchRpc, "read_seconds", 0.3)
    await join(state, "sre-1", "sre-2")
    never = Unread(state)
    await until(lambda: state.watching.open == 1, "the watch did not begin")
    sent: list[int] = []
    while state.watching.open:
        sent.append((await send(state, "x" * 3000, to_agent_id="sre-2")).sequence)
        assert len(sent) < 900, "it was never let go"
    seen, too_slow = await never.rest()
    assert too_slow.reason == "WATCH_TOO_SLOW"
    assert seen[-1] < sent[-1]
    # The one that was under way was read in the end, and the error does not know it; the last answer does.
    for cursor, again in ((too_slow.facts["cursor"], False), (never.cursor, True)):
        rest: list[int] = []
        async with aclosing(watch(state, cursor)) as answers:
            while not rest or rest[-1] < sent[-1]:
                rest += [change.sequence for change in (await anext(answers)).changes]
        assert set(sent) <= {*seen, *rest}, "something was never told"
        assert not again or not {*seen} & {*rest}, "something was told twice"
    await never.close()


async def test_a_server_that_stops_hands_each_watch_a_cursor(
    valkey_server: ValkeyServer, tmp_path: Path
) -> None:
    """Fault 19."""
    log = MemoryLog(CODEC)
    async with serving(log, valkey_server.url, tmp_path) as state:
        await issue(state)
        token = (await acquire(state)).lock.fencing_token
        watches = [watch(state), watch(state, task_id="task-1")]
        for each in watches:
            assert (await anext(each)).snapshot_complete
        await until(lambda: all(one.idle for one in state.watching.watches()), "they have something to tell")
        await state.server.stop()
        cursors = []
        for each in watches:
            with pytest.raises(Unavailable) as stopping:
                await anext(each)
            assert stopping.value.reason == "SHUTTING_DOWN"
            cursors.append(stopping.value.facts["cursor"])
    async with serving(log, valkey_server.url, tmp_path) as state:
        advanced = await advance(state, token, "PLAN")
        async with aclosing(watch(state, cursors[0])) as answers:
            changes = (await anext(answers)).changes
            assert [change.sequence for change in changes] == [advanced.sequence]
        async with aclosing(watch(state, cursors[1], task_id="task-1")) as answers:
            assert [change.agent.phase for change in (await anext(answers)).changes] == ["PLAN"]
