"""State on a store that is a cluster: what belongs together lies together, and a node that lost its part is noticed."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from chassis import store
from chassis.eventlog.memory import MemoryLog
from services.gateway.adapters.meter import StoreMeter
from services.state.adapters.shards import MARKS, shard_marks
from services.state.wire import CODEC
from tests.fakes.valkey_cluster import ValkeyCluster, valkey_cluster
from tests.fakes.wait import until
from tests.rpc.state.asks import acquire, advance, issue, look, verify
from tests.rpc.state.conftest import Running, serving
from tests.rpc.state.test_store import busy

__all__ = ["valkey_cluster"]


@pytest_asyncio.fixture
async def state(valkey_cluster: ValkeyCluster, tmp_path: Path) -> AsyncIterator[Running]:
    redis = store.connect(valkey_cluster.url)
    await redis.flushall()
    await redis.aclose()
    async with serving(MemoryLog(CODEC), valkey_cluster.url, tmp_path) as running:
        yield running


def keys_of(cluster: ValkeyCluster) -> list[set[str]]:
    """What each node has of agents and tasks."""
    said = [cluster.ask(node, "KEYS *{*").splitlines() for node in cluster.nodes]
    return [{line for line in lines if "sre-" in line} for lines in said]


async def test_everything_of_an_agent_lies_on_one_node(state: Running, valkey_cluster: ValkeyCluster) -> None:
    token = await busy(state)
    for n in range(20):
        await issue(state, tenant=f"tenant-{n * 7919}")
    assert (await look(state)).lock.fencing_token == token
    assert (await verify(state)).equal
    nodes = keys_of(valkey_cluster)
    assert all(nodes), "a node has nothing"
    tags = [{key.partition("{")[2].partition("}")[0] for key in keys} for keys in nodes]
    assert sum(map(len, tags)) == len(set.union(*tags)), "a tag is on two nodes"
    marks = [
        valkey_cluster.ask(node, "KEYS applied:{shard-*").count("}:mark") for node in valkey_cluster.nodes
    ]
    assert sum(marks) == MARKS
    assert min(marks) > MARKS // 4


@pytest.mark.parametrize("emptied", [0, 1, 2])
async def test_a_node_that_came_back_empty_is_filled_before_anyone_is_told_anything(
    state: Running, valkey_cluster: ValkeyCluster, emptied: int
) -> None:
    token = await busy(state)
    before = await look(state)
    valkey_cluster.ask(valkey_cluster.nodes[emptied], "FLUSHALL")
    after = await look(state)
    for each in (before, after):
        each.ClearField("heartbeat_time")
    assert after == before
    await advance(state, token, "VERIFY")

    async def whole() -> bool:
        return (await verify(state)).equal

    await until(whole, "what the node had is not there again")


async def test_a_lock_is_one_across_the_cluster(state: Running) -> None:
    await issue(state)
    held = await acquire(state)
    assert (await look(state)).lock.fencing_token == held.lock.fencing_token


async def test_rates_are_counted_on_a_cluster(valkey_cluster: ValkeyCluster) -> None:
    redis = store.connect(valkey_cluster.url)
    meter = StoreMeter(redis, 2, 60)
    for bucket in ("key:a", "key:b", "key:c"):
        assert [await meter.take(bucket) == 0 for _ in range(3)] == [True, True, False]
    await redis.aclose()


def test_the_marks_lie_evenly() -> None:
    assert len(set(shard_marks())) == MARKS
