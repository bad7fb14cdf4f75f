"""State on Redis 7 instead of Valkey: with a password, and over TLS."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chassis import process, store
from chassis.rpc import client
from kernel.faults import Unavailable
from provost.state.v1 import state_pb2 as pb
from provost.state.v1.state_pb2_grpc import StateServiceStub
from services.state.adapters import RedisStore
from tests.bench.state import ROLES, locked
from tests.fakes.nats_server import NatsServer
from tests.fakes.redis_server import PASSWORD, RedisServer
from tests.integration.state.process import KEY, StateProcess

pytestmark = pytest.mark.system


@pytest.fixture(params=[False, True], ids=["plain", "TLS"])
def redis_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path, tls=request.param)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def state(tmp_path: Path, redis_server: RedisServer) -> Iterator[StateProcess]:
    nats = NatsServer(tmp_path)
    nats.start()
    child = StateProcess(tmp_path, nats.url, redis_server.url)
    child.start()
    yield child
    child.stop()
    nats.stop()


async def test_state_is_whole_on_redis_and_comes_back_when_it_is_emptied(
    state: StateProcess, redis_server: RedisServer
) -> None:
    async with client.channel(state.address, internal_key=KEY) as channel:
        stub: Any = StateServiceStub(channel)
        token = await locked(stub, "sre-1")
        entry = pb.PutEntryRequest(
            request_id=process.new_id(),
            task_id="bench",
            section="problem",
            key="why",
            value='"full"',
            agent_id="sre-1",
        )
        await stub.PutEntry(entry, metadata=ROLES, timeout=10)
        look = pb.GetAgentStateRequest(agent_id="sre-1")
        before = (await stub.GetAgentState(look, metadata=ROLES, timeout=10)).agent
        assert before.lock.fencing_token == token

        redis = store.connect(redis_server.url)
        assert await redis.dbsize() > 0
        await redis.flushall()
        await redis.aclose()
        assert (await stub.GetAgentState(look, metadata=ROLES, timeout=20)).agent.lock == before.lock
        found = await stub.GetEntry(
            pb.GetEntryRequest(task_id="bench", section="problem", key="why"), metadata=ROLES, timeout=10
        )
        assert found.entry.value == '"full"'
        verdict = await stub.VerifyStore(pb.VerifyStoreRequest(), metadata=ROLES, timeout=30)
        assert verdict.equal, list(verdict.differing_keys)


async def test_a_wrong_password_is_no_answer(redis_server: RedisServer) -> None:
    redis = store.connect(redis_server.url.replace(PASSWORD, "wrong"))
    with pytest.raises(Unavailable):
        await RedisStore(redis).position()
    await redis.aclose()
