"""A real policy process on a real nats-server."""

import os
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from chassis.embedded.services import FITTED
from chassis.rpc import client
from tests.fakes.nats_server import NatsServer, events, nats_server
from tests.fakes.process import ServerProcess, free_port

__all__ = ["events", "nats_server"]

KEY = "an internal key for tests"


class PolicyProcess(ServerProcess):
    """`python -m services.policy`, as it is started everywhere; it answers once its health is SERVING."""

    def __init__(self, directory: Path, nats_url: str, **more: str) -> None:
        port = free_port()
        environment = {
            "PATH": os.environ["PATH"],
            "PROVOST_HOME": str(directory),
            "PROVOST_NATS_URL": nats_url,
            "PROVOST_INTERNAL_KEY": KEY,
            "PROVOST_POLICY_PORT": str(port),
            "PROVOST_METRICS_PORT": "0",
            **FITTED,
            **more,
        }
        command = [sys.executable, "-m", "services.policy"]
        start = ["/usr/bin/env", "-i", *(f"{name}={value}" for name, value in environment.items()), *command]
        super().__init__(start, port, directory / "policy.log", lambda: serving(port))

    def channel(self) -> grpc.aio.Channel:
        return client.channel(f"127.0.0.1:{self.port}", internal_key=KEY)


def serving(port: int) -> bool:
    """Whether health says SERVING."""
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        try:
            answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=1)
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


@pytest.fixture
def policy(tmp_path: Path, nats_server: NatsServer, events: object) -> Iterator[PolicyProcess]:
    """A policy process, its log empty when it starts."""
    process = PolicyProcess(tmp_path, nats_server.url)
    process.start()
    yield process
    process.stop()


@pytest.fixture
def other(
    policy: PolicyProcess, nats_server: NatsServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PolicyProcess]:
    """A second replica, with a home of its own."""
    process = PolicyProcess(tmp_path_factory.mktemp("other"), nats_server.url)
    process.start()
    yield process
    process.stop()


@pytest.fixture
async def channel(policy: PolicyProcess) -> AsyncIterator[grpc.aio.Channel]:
    async with policy.channel() as made:
        yield made
