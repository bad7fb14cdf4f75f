"""Health follows the follower: who no longer knows what is in the log does not say that it serves."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from pydantic import SecretStr

from chassis.config import ServiceSettings
from chassis.eventlog import follower as following
from chassis.eventlog.follower import Follower, FollowerState
from chassis.eventlog.memory import MemoryLog
from chassis.rpc import client, serving
from chassis.rpc.server import Server
from chassis.rpc.serving import serve_while
from kernel.events import Head, Recorded, Stream
from tests.contract.eventlog.words import CODEC, StringValue, cause
from tests.fakes.wait import until

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


async def test_a_service_whose_follower_has_halted_does_not_serve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "LOOK_SECONDS", 0.01)

    async def take(events: Sequence[Recorded]) -> None:
        raise RuntimeError("never")

    log = MemoryLog(CODEC)
    follower = Follower(log, ("evt.>",), 0, take, "test")
    await follower.start()
    await follower.caught_up()
    settings = ServiceSettings(home=tmp_path, internal_key=SecretStr("an internal key for tests"))
    server = Server(settings, "orchestrator", port=0)
    await server.start()
    stopping = asyncio.Event()
    keeping = asyncio.create_task(serve_while(lambda: follower.well, server.set_serving, stopping.wait))
    channel = client.channel(f"127.0.0.1:{server.port}", internal_key="")
    health: Any = health_pb2_grpc.HealthStub(channel)
    seen = health.Watch(health_pb2.HealthCheckRequest())
    async with asyncio.timeout(20):
        while (await seen.read()).status != SERVING:
            continue
        await log.append(
            Stream("acme", "test", "word", "a"), [StringValue("x")], after=Head(), cause=cause("r1")
        )
        assert (await seen.read()).status == NOT_SERVING
    assert follower.state is FollowerState.HALTED
    seen.cancel()
    stopping.set()
    await keeping
    await channel.close()
    await server.stop()
    await follower.stop()


async def test_who_is_cut_off_from_the_log_is_not_well_though_nothing_has_halted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def take(events: Sequence[Recorded]) -> None: ...

    follower = Follower(MemoryLog(CODEC), ("evt.>",), 0, take, "test")
    await follower.start()
    await follower.caught_up()
    assert follower.well
    await follower.stop()
    monkeypatch.setattr(following, "UNWELL_SECONDS", 0.0)
    await until(lambda: not follower.well, "it is well for ever")
    assert follower.state is not FollowerState.HALTED
