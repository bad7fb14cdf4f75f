"""Two processes of state that share no disk: what the one stored, the other reads; where the one ended, it begins."""

import hashlib
import random
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from chassis import process, store
from chassis.eventlog.jetstream import JetStreamLog
from chassis.eventlog.wire import Connection
from chassis.rpc import client
from kernel.events import Cause, Head, Stream
from provost.state.v1 import state_pb2 as pb
from provost.state.v1.state_pb2_grpc import StateServiceStub
from services.state.domain.lock import AgentAdvanced
from services.state.domain.packet import Packet, PacketIssued
from services.state.reactor.snapshots import AT_THE_END
from services.state.rpc import MAX_MESSAGE_BYTES
from services.state.wire import CODEC
from tests.fakes.nats_server import NatsServer
from tests.fakes.valkey_server import ValkeyServer
from tests.integration.state.conftest import Real
from tests.integration.state.process import KEY, StateProcess

CONTENT = random.Random(1).randbytes(3_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


async def history(connection: Connection) -> None:
    """Enough for a snapshot to be taken when state ends."""
    log, now = JetStreamLog(connection, CODEC, "provost/test"), process.now()
    for number in range(AT_THE_END // 500 + 1):
        agent, task = f"old-{number}", f"task-{number}"
        steps = [AgentAdvanced(agent, task, "run-1", "EXECUTE", f"s{n}", 0, now, now) for n in range(500)]
        stream = Stream("default", "state", "agent", agent)
        events = [PacketIssued(Packet(agent, task, "test", "advance", now), now), *steps]
        cause = Cause("default", process.new_id(), "service:test", now)
        await log.append(stream, events, after=Head(), cause=cause)


async def test_they_share_artifacts_and_snapshots_in_nats(
    nats_server: NatsServer, valkey_server: ValkeyServer, events: Connection, tmp_path: Path
) -> None:
    redis = store.connect(valkey_server.url)
    await redis.flushall()
    homes = [tmp_path / "first", tmp_path / "second"]
    states = []
    for home in homes:
        home.mkdir()
        url = nats_server.url
        states.append(StateProcess(home, url, valkey_server.url, PROVOST_ARTIFACTS="nats"))
    # Both know the key that seals, as every machine must.
    (homes[0] / "keys").mkdir()
    (homes[1] / "keys").symlink_to(homes[0] / "keys")
    await history(events)
    first, second = states
    try:
        first.start()
        put = pb.PutArtifactRequest(task_id="task-1", name="r", media_type="text/plain", content=CONTENT)
        async with _channel(first) as channel:
            real = Real(first, StateServiceStub(channel), events, redis, homes[0])
            assert (await real.ask("PutArtifact", put)).artifact.sha256 == SHA256
        first.stop()
        second.start()
        assert "state begins with a snapshot" in (homes[1] / "state.log").read_text()
        async with _channel(second) as channel:
            real = Real(second, StateServiceStub(channel), events, redis, homes[1])
            assert (await real.ask("GetArtifact", pb.GetArtifactRequest(sha256=SHA256))).content == CONTENT
            assert (await real.verify()).equal
        for home in homes:
            assert not (home / "artifacts").exists()
            assert not (home / "snapshots").exists()
    finally:
        for each in states:
            each.stop()
        await redis.aclose()


def _channel(state: StateProcess) -> AbstractAsyncContextManager[Any]:
    return client.channel(state.address, internal_key=KEY, max_message_bytes=MAX_MESSAGE_BYTES)
