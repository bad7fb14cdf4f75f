"""One bad value in the store: it is filled anew from the log, by itself, and nobody is told what was not so."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import structlog

from chassis.rpc import client
from kernel.faults import Fault
from provost.state.v1 import state_pb2 as pb
from services.state.adapters.wholeness import FILLINGS, FORMAT, GENERATION, POSITION, WIPING
from tests.fakes.valkey_server import ValkeyServer
from tests.fakes.wait import until
from tests.rpc.state.asks import advance, join, look, put_entry, save, verify
from tests.rpc.state.conftest import Running, cause, serving
from tests.rpc.state.test_attention import hasty, stuck

__all__ = ["hasty"]
BOARD = "blackboard:{default/task-1}:problem"
KEPT = "checkpoint:{default/run-1}:kept"
PACKETS = "agent:{default/sre-1}:packets"
HEARTBEAT = "agent:{default/sre-1}:heartbeat"


async def packets(state: Running) -> list[int]:
    found = await client.call(state.stub.ListPackets, pb.ListPacketsRequest(agent_id="sre-1"), cause())
    return [each.version for each in found.packets]


async def checkpoint(state: Running) -> str:
    asked = pb.GetCheckpointRequest(run_id="run-1")
    return str((await client.call(state.stub.GetCheckpoint, asked, cause())).checkpoint.step)


async def soon(ask: Callable[[], Awaitable[Any]]) -> Any:
    """What is answered once the store is there again."""
    for _ in range(200):
        try:
            return await ask()
        except Fault as problem:
            if problem.reason != "STORE_UNREACHABLE":
                raise
            await asyncio.sleep(0.05)
    raise AssertionError("the store was not filled in 10 seconds")


async def whole(state: Running) -> None:
    """Reads and verification find in the store what the log says."""
    assert await soon(lambda: packets(state)) == [1]
    assert (await soon(lambda: verify(state))).equal


async def mended(state: Running, key: str) -> None:
    """What was spoiled is noticed, and gone."""

    async def gone() -> bool:
        return str(await state.store.type(key)) != "stream"

    await until(gone, f"{key} is what it was spoiled to", 10.0)
    await whole(state)


async def spoil(state: Running, key: str) -> None:
    """A value of a kind that state does not keep there."""
    await state.store.delete(key)
    await state.store.xadd(key, {"something": "else"})


async def test_a_position_that_is_no_number_is_none(
    state: Running, valkey_server: ValkeyServer, tmp_path: Path
) -> None:
    token = (await join(state, "sre-1"))["sre-1"]
    await whole(state)
    with structlog.testing.capture_logs() as said:
        await state.store.set(POSITION, "garbage")
        await advance(state, token, run_id="run-sre-1")
        await whole(state)
    assert POSITION in [each.get("where") for each in said if each["log_level"] == "warning"]
    assert str(await state.store.get(POSITION)).isdigit()
    await state.store.set(POSITION, "garbage")
    async with serving(state.log, valkey_server.url, tmp_path / "other") as other:
        await whole(other)


@pytest.mark.parametrize("key", [POSITION, FORMAT, FILLINGS, GENERATION, "applied:{default/task-1}"])
async def test_what_state_keeps_for_itself_may_be_of_the_wrong_type(
    state: Running, valkey_server: ValkeyServer, tmp_path: Path, key: str
) -> None:
    await join(state, "sre-1")
    await whole(state)
    await spoil(state, key)
    if key == FILLINGS:  # looked at when the store has to be filled
        await state.store.delete(POSITION)
    await put_entry(state, "k", "1")
    await mended(state, key)
    await spoil(state, key)
    if key == FILLINGS:
        await state.store.delete(POSITION)
    async with serving(state.log, valkey_server.url, tmp_path / "other") as other:
        await put_entry(other, "k", "2")
        await mended(other, key)


async def claimed(state: Running) -> None:
    await state.store.set(WIPING, "somebody")


async def spoiled_claim(state: Running) -> None:
    await spoil(state, WIPING)


@pytest.mark.parametrize("claim", [claimed, spoiled_claim])
async def test_a_claim_to_wipe_that_never_ends_is_nobodys(
    state: Running, claim: Callable[[Running], Awaitable[None]]
) -> None:
    await join(state, "sre-1")
    await whole(state)
    await claim(state)
    await state.store.delete(POSITION)
    await whole(state)
    assert str(await state.store.get(POSITION)).isdigit(), "it was filled all the same"
    await claim(state)
    await spoil(state, BOARD)
    await client.call(state.stub.RebuildStore, pb.RebuildStoreRequest(), cause())
    assert not await state.store.exists(WIPING, BOARD), "it was wiped all the same"
    await whole(state)


async def test_a_key_of_the_wrong_type_is_named_and_mended_when_it_is_written(state: Running) -> None:
    await join(state, "sre-1")
    await put_entry(state, "k", "1")
    await whole(state)
    await state.store.set("somebody:else", "keeps this")
    await spoil(state, BOARD)
    verdict = await verify(state)
    assert (verdict.equal, list(verdict.differing_keys)) == (False, [BOARD])
    with structlog.testing.capture_logs() as said:
        await put_entry(state, "k", "2")
        await whole(state)
    (warning,) = [each["why"] for each in said if "filled anew" in each["event"]]
    assert f"{BOARD} is a stream, not a hash" in warning
    assert await state.store.hlen(BOARD) == 1
    assert await state.store.get("somebody:else") == "keeps this"


async def not_believed(state: Running, *keys: str) -> None:
    """What is asked for is right, whatever lies in the store; to verify it names `keys`, and to rebuild mends them."""
    assert (await packets(state), await checkpoint(state)) == ([1], "s1")
    assert list((await verify(state)).differing_keys) == sorted(keys)
    await client.call(state.stub.RebuildStore, pb.RebuildStoreRequest(), cause())
    await whole(state)


@pytest.mark.parametrize("key", [KEPT, PACKETS])
async def test_a_key_of_the_wrong_type_is_not_believed(state: Running, key: str) -> None:
    await join(state, "sre-1")
    await save(state, "s1")
    await whole(state)
    await spoil(state, key)
    await not_believed(state, key)


@pytest.mark.parametrize("value", ["not json", "{}", b"\xff\xfe"])
async def test_a_value_that_is_no_record_is_not_believed(state: Running, value: Any) -> None:
    await join(state, "sre-1")
    await save(state, "s1")
    await whole(state)
    await state.store.hset(KEPT, "1", value)
    await state.store.hset(PACKETS, "1", value)
    await not_believed(state, KEPT, PACKETS)


async def test_an_unreadable_lock_is_named(state: Running) -> None:
    await join(state, "sre-1")
    await whole(state)
    await state.store.set("agent:{default/sre-1}:lock", "not json")
    assert list((await verify(state)).differing_keys) == ["agent:{default/sre-1}:lock"]


@pytest.mark.parametrize("beat", ["not a time", "2026-03-01T12:00:00"])
async def test_a_heartbeat_that_is_no_time_is_none(hasty: Running, beat: Any) -> None:
    await join(hasty, "sre-1", "sre-2")
    await hasty.store.set(HEARTBEAT, beat)
    await look(hasty)
    for _ in range(200):
        if [each.agent_id for each in await stuck(hasty)] == ["sre-1", "sre-2"]:
            break
        await asyncio.sleep(0.05)
    else:
        raise AssertionError("one of them was not judged")
    request = pb.HeartbeatRequest(agent_id="sre-1", ttl_seconds=30)
    await client.call(hasty.stub.Heartbeat, request, cause())
    assert str(await hasty.store.get(HEARTBEAT)).startswith("20"), "it is written over"
    assert (await look(hasty)).heartbeat_time.seconds
