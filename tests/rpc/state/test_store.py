"""The store loses things, and nobody is told anything wrong."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import structlog
from redis.asyncio import Redis

from chassis import process
from chassis.eventlog.memory import MemoryLog
from chassis.rpc import client
from kernel.faults import Conflict, Unavailable
from provost.state.v1 import state_pb2 as pb
from services.state.adapters import RedisStore
from services.state.domain.view import View
from services.state.reactor import StoreMirror
from services.state.wire import CODEC
from tests.fakes.valkey_server import ValkeyServer
from tests.fakes.wait import until
from tests.rpc.state.asks import acquire, advance, issue, look, put_entry, save, send, verify
from tests.rpc.state.conftest import Running, cause, serving
from tests.rpc.state.test_tasks import put, revoke

POSITION = "applied:{log}:position"


async def busy(state: Running) -> int:
    """Something of everything; the fencing token."""
    await issue(state)
    token = (await acquire(state)).lock.fencing_token
    await advance(state, token, "EXECUTE")
    error = pb.RecordErrorRequest(agent_id="sre-1", task_id="task-1", error_type="TIMEOUT")
    await client.call(state.stub.RecordError, error, cause())
    for n in range(40):
        await client.call(state.stub.PutArtifact, put(name=f"n{n}"), cause())
    handoff = pb.Handoff(task_id="task-1", previous_agent_id="sre-0")
    await client.call(state.stub.WriteHandoff, pb.WriteHandoffRequest(handoff=handoff), cause())
    await share(state, token)
    await revoke(state, "sre-7")
    return token


async def share(state: Running, token: int) -> None:
    """Entries, one of them taken off again, messages, one of them acknowledged, and checkpoints."""
    for key in ("analysis", "objective"):
        await put_entry(state, key, '"v"')
    await put_entry(state, "proposal_1", '{"do": 1}', section="solutions")
    await put_entry(state, "proposal_2", '{"do": 2}', section="solutions", fencing_token=token)
    await put_entry(state, "analysis", "")
    first = (await send(state, "first", from_agent_id="", actor="key:boss")).message
    await send(state, "second", from_agent_id="", actor="key:boss")
    done = pb.AcknowledgeMessagesRequest(task_id="task-1", agent_id="sre-1", message_ids=[first.message_id])
    await client.call(state.stub.AcknowledgeMessages, done, cause())
    for n in range(25):
        await save(state, f"s{n}", fencing_token=token)


async def keys(redis: Redis) -> set[str]:
    return {str(key) for key in await redis.keys("*")}


async def test_keys_and_their_types_are_as_promised(state: Running) -> None:
    await busy(state)
    assert (await verify(state)).equal
    types = {
        "agent:{default/sre-1}:packet": "string",
        "agent:{default/sre-1}:packets": "hash",
        "agent:{default/sre-1}:state": "string",
        "agent:{default/sre-1}:errors": "hash",
        "agent:{default/sre-1}:heartbeat": "string",
        "agent:{default/sre-1}:lock": "string",
        "task:{default/task-1}:active_agent": "string",
        "task:{default/task-1}:agents": "set",
        "task:{default/task-1}:artifacts": "list",
        "handoff:{default/task-1}:latest": "string",
        "blackboard:{default/task-1}:problem": "hash",
        "blackboard:{default/task-1}:solutions": "hash",
        "msg:{default/task-1}:messages": "hash",
        "msg:{default/task-1}:waiting": "hash",
        "checkpoint:{default/run-1}:kept": "hash",
        "revocations:{default}:ledger": "list",
    }
    assert {key: await state.store.type(key) for key in types} == types
    assert {key for key in await keys(state.store) if not key.startswith("applied:")} == set(types)
    for key in ("lock", "heartbeat"):
        assert await state.store.pttl(f"agent:{{default/sre-1}}:{key}") > 0


async def test_after_flushall_reads_are_right_at_once_and_nobody_has_gained_a_lock(state: Running) -> None:
    token = await busy(state)
    before = await look(state)
    await state.store.flushall()
    after = await look(state)
    before.ClearField("heartbeat_time")
    after.ClearField("heartbeat_time")
    assert after == before
    with pytest.raises(Conflict):
        await acquire(state, "a thief".replace(" ", "-"))
    await advance(state, token, "VERIFY")
    verdict = await verify(state)
    assert (verdict.equal, list(verdict.differing_keys)) == (True, [])
    assert verdict.store_hash == verdict.log_hash


async def test_an_idle_store_that_was_flushed_is_filled_without_being_asked(state: Running) -> None:
    await busy(state)
    assert (await verify(state)).equal
    before = await keys(state.store)
    await state.store.flushall()

    async def whole() -> bool:
        return before - {"agent:{default/sre-1}:heartbeat"} <= await keys(state.store)

    await until(whole, "the store was not filled by itself")
    assert (await verify(state)).equal


async def test_a_key_that_the_store_has_lost_alone_is_not_missed(state: Running) -> None:
    """A store that evicts keeps its position: by that nothing shows."""
    await busy(state)
    assert (await verify(state)).equal
    asked: dict[str, Any] = {
        "ListArtifacts": pb.ListArtifactsRequest(task_id="task-1"),
        "GetHandoff": pb.GetHandoffRequest(task_id="task-1"),
        "ListPackets": pb.ListPacketsRequest(agent_id="sre-1"),
        "ListCheckpoints": pb.ListCheckpointsRequest(run_id="run-1"),
        "ListRevocations": pb.ListRevocationsRequest(),
    }

    async def answers() -> list[Any]:
        return [await client.call(getattr(state.stub, name), ask, cause()) for name, ask in asked.items()]

    before = await answers()
    assert [len(each.artifacts) for each in before[:1]] == [40]
    for key in await keys(state.store):
        if not key.startswith("applied:"):
            await state.store.delete(key)
    assert await answers() == before
    assert not (await verify(state)).equal, "it is told of"


async def test_flushed_again_and_again_under_load(state: Running) -> None:
    token = await busy(state)
    for n in range(30):
        if n % 3 == 0:
            await state.store.flushall()
        answer = await advance(state, token, f"P{n}")
        assert (await look(state)).sequence == answer.sequence
    assert (await verify(state)).equal


async def test_what_differs_is_named_and_mended(state: Running) -> None:
    await busy(state)
    assert (await verify(state)).equal
    await state.store.delete("agent:{default/sre-1}:errors")
    await state.store.set("agent:{default/ghost}:packet", "{}")
    await state.store.rpush("task:{default/task-1}:artifacts", "{}")
    await state.store.hdel("blackboard:{default/task-1}:solutions", "proposal_1")
    await state.store.hset("msg:{default/task-1}:waiting", "ghost", "{}")
    await state.store.zadd("agent:{default/ghost}:lock", {"x": 1})
    await state.store.xadd("blackboard:{default/ghost}:problem", {"k": "v"})
    await state.store.hset("msg:{default/ghost}:activity", "k", "v")
    await state.store.set("somebody:else", "keeps this")
    verdict = await verify(state)
    assert not verdict.equal
    assert list(verdict.differing_keys) == [
        "agent:{default/ghost}:lock",
        "agent:{default/ghost}:packet",
        "agent:{default/sre-1}:errors",
        "blackboard:{default/ghost}:problem",
        "blackboard:{default/task-1}:solutions",
        "msg:{default/ghost}:activity",
        "msg:{default/task-1}:waiting",
        "task:{default/task-1}:artifacts",
    ]
    other = await verify(state, tenant="other")
    assert (other.equal, list(other.differing_keys)) == (False, [])  # whose names they are not
    assert other.differing_key_count == verdict.differing_key_count == 8, "but how many there are"
    assert verdict.at_sequence == await state.log.last_sequence()
    rebuilt = await client.call(
        state.stub.RebuildStore, pb.RebuildStoreRequest(), cause(), timeout_seconds=20
    )
    assert rebuilt.events == await state.log.last_sequence()
    verdict = await verify(state)
    assert verdict.equal
    assert verdict.log_hash == rebuilt.state_hash
    assert await state.store.get("somebody:else") == "keeps this"


async def test_names_of_others_take_no_room_from_ones_own(state: Running) -> None:
    await busy(state)
    assert (await verify(state)).equal
    for n in range(30):
        await state.store.set(f"agent:{{acme/ghost-{n}}}:packet", "{}")
    await state.store.delete("agent:{default/sre-1}:errors")
    verdict = await verify(state)
    assert list(verdict.differing_keys) == ["agent:{default/sre-1}:errors"]
    assert verdict.differing_key_count == 31
    assert len((await verify(state, tenant="acme")).differing_keys) == 20


async def test_scripts_that_were_forgotten_are_loaded_again(state: Running) -> None:
    token = await busy(state)
    await state.store.script_flush()
    answer = await advance(state, token, "VERIFY")
    assert (await look(state)).sequence == answer.sequence


async def test_why_the_store_does_not_answer_is_told_and_the_password_is_not(
    valkey_server: ValkeyServer, tmp_path: Path
) -> None:
    url = valkey_server.url.replace("://", "://:not-the-password@")

    def warnings() -> list[Any]:
        told = [each for each in said if each["log_level"] == "warning"]
        return [each for each in told if "store does not answer" in each["event"]]

    with structlog.testing.capture_logs() as said:
        async with serving(MemoryLog(CODEC), url, tmp_path, filled=False) as state:
            await issue(state)
            await until(lambda: len(warnings()) > 1, "it was not told that the store is away")
    assert len(warnings()) == 2, "once at the start, and once for as long as it lasts"
    assert all("password pair" in each["why"] for each in warnings())
    assert "not-the-password" not in str(said)


async def test_two_replicas_keep_one_store(
    state: Running, valkey_server: ValkeyServer, tmp_path: Path
) -> None:
    token = await busy(state)
    async with serving(state.log, valkey_server.url, tmp_path / "other") as other:
        for n in range(10):
            here, there = (state, other) if n % 2 else (other, state)
            answer = await advance(here, token, f"P{n}")
            assert (await look(there, answer.sequence)).phase == f"P{n}"
        await state.store.flushall()
        answer = await advance(other, token, "LAST")
        assert (await look(state, answer.sequence)).phase == "LAST"
        assert (await verify(other)).equal
        assert (await verify(state)).equal


async def test_a_restart_writes_nothing_that_is_there_and_fills_what_is_not(
    state: Running, valkey_server: ValkeyServer, tmp_path: Path
) -> None:
    await busy(state)
    assert (await verify(state)).equal
    last = await state.log.last_sequence()
    async with serving(state.log, valkey_server.url, tmp_path / "again") as again:
        assert int(await state.store.get(POSITION) or 0) == last
        assert (await verify(again)).equal
    await state.store.flushall()
    async with serving(state.log, valkey_server.url, tmp_path / "once-more") as again:
        assert (await verify(again)).equal


async def test_a_store_that_is_ahead_of_the_log_belongs_to_another_and_is_wiped(
    valkey_server: ValkeyServer, tmp_path: Path
) -> None:
    log = MemoryLog(CODEC)
    async with serving(log, valkey_server.url, tmp_path) as first:
        await first.store.set(POSITION, "1000")
        await first.store.set("agent:{default/ghost}:packet", "{}")
    async with serving(log, valkey_server.url, tmp_path) as second:
        await issue(second)
        assert (await look(second)).packet.task_id == "task-1"
        assert (await verify(second)).equal
        assert not await second.store.exists("agent:{default/ghost}:packet")


async def test_what_an_older_program_left_is_not_read(
    state: Running, valkey_server: ValkeyServer, tmp_path: Path
) -> None:
    await busy(state)
    assert (await verify(state)).equal
    last = await state.log.last_sequence()
    await state.store.flushall()
    await state.store.set(POSITION, last)
    await state.store.hset("applied:{default/sre-1}", "state", last)
    await state.store.set("agent:{default/sre-1}:state", '{"agent_id": "sre-1"}')
    async with serving(state.log, valkey_server.url, tmp_path / "newer") as newer:
        assert (await look(newer)).phase == "EXECUTE"
        assert (await verify(newer)).equal


@pytest_asyncio.fixture
async def own_store(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ValkeyServer]:
    server = ValkeyServer(tmp_path_factory.mktemp("own-valkey"))
    server.start()
    yield server
    server.stop()


async def test_while_the_store_is_down_writes_go_on_and_reads_say_why_they_cannot(
    own_store: ValkeyServer, tmp_path: Path
) -> None:
    async with serving(MemoryLog(CODEC), own_store.url, tmp_path) as state:
        token = await busy(state)
        await look(state)
        own_store.kill()
        answer = await advance(state, token, "VERIFY")
        packet = await client.call(state.stub.GetPacket, pb.GetPacketRequest(agent_id="sre-1"), cause())
        assert packet.packet.task_id == "task-1", "what lies in memory as well needs no store"

        async def refused() -> bool:
            try:
                await look(state)
            except Unavailable as problem:
                return problem.reason == "STORE_UNREACHABLE"
            return False

        await until(refused, "a heartbeat is told that nobody can know")
        own_store.start()

        async def back() -> bool:
            try:
                return (await look(state)).sequence == answer.sequence
            except Unavailable:
                return False

        await until(back, "reads did not come back with the store")
        assert (await verify(state)).equal


async def test_a_report_does_not_wait_for_a_store_that_hangs(own_store: ValkeyServer, tmp_path: Path) -> None:
    async with serving(MemoryLog(CODEC), own_store.url, tmp_path) as state:
        await busy(state)
        await look(state)
        own_store.pause()
        try:
            for what in ("approval-1", "approval-2"):
                waits = pb.ReportActivityRequest(
                    agent_id="sre-1",
                    task_id="task-1",
                    run_id="run-1",
                    waiting=pb.Waiting(kind=pb.Waiting.KIND_APPROVAL, what=what),
                )
                await client.call(state.stub.ReportActivity, waits, cause(), timeout_seconds=1.5)
        finally:
            own_store.resume()


async def test_a_store_that_others_write_to_while_one_starts_is_not_taken_for_another_logs(
    state: Running,
) -> None:
    await busy(state)
    assert (await verify(state)).equal
    before = await keys(state.store)
    derived = RedisStore(state.store)
    mirror = StoreMirror(View(), derived, now=process.now, new_mark=process.new_id)
    position = derived.position

    async def others_write() -> int | None:
        """Right before the store is asked."""
        written = await put_entry(state, "meanwhile", '"v"')
        await look(state, written.sequence)
        await until(lambda: state.mirror._known == written.sequence, "the other replica did not apply it")
        return await position()

    derived.position = others_write  # type: ignore[method-assign]
    await mirror.open(state.log.last_sequence)
    assert before <= await keys(state.store)


async def test_what_is_wrong_in_memory_is_told_of(state: Running) -> None:
    await busy(state)
    assert (await verify(state)).equal
    state.view.agents["default", "sre-1"] = replace(state.view.agents["default", "sre-1"], phase="REPORT")
    verdict = await verify(state)
    assert (verdict.equal, verdict.store_hash) == (False, verdict.log_hash)
    assert list(verdict.differing_keys) == ["agent:{default/sre-1}:state (in memory)"]


async def test_a_store_that_is_not_there_at_the_start_is_filled_when_it_comes(
    own_store: ValkeyServer, tmp_path: Path
) -> None:
    log = MemoryLog(CODEC)
    own_store.kill()
    async with serving(log, own_store.url, tmp_path, filled=False) as state:
        await busy(state)
        assert not state.mirror.filled
        own_store.start()
        await until(lambda: state.mirror.filled, "the store was not filled")
        assert (await verify(state)).equal


async def test_an_event_nobody_can_read_closes_its_agent_and_nothing_else(state: Running) -> None:
    await issue(state)
    for subject, payload in (("sre-2.PacketIssued", b"\xff\xff"), ("sre-3.InventedTomorrow", b"")):
        state.log.put(f"evt.default.state.agent.{subject}", payload, b"NATS/1.0\r\nce-id: x1\r\n\r\n")
    token = (await acquire(state)).lock.fencing_token
    answer = await advance(state, token, "PLAN")
    assert (await look(state)).sequence == answer.sequence
    for agent_id in ("sre-2", "sre-3"):
        request = pb.GetAgentStateRequest(agent_id=agent_id)
        with pytest.raises(Unavailable) as caught:
            await client.call(state.stub.GetAgentState, request, cause())
        assert caught.value.reason == "UNREADABLE_EVENT"
    assert (await verify(state)).equal
