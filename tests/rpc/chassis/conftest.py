"""A running echo server and ways to reach it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime

import grpc.aio
import pytest
from pydantic import SecretStr

from chassis.config import ServiceSettings
from chassis.rpc import client
from chassis.rpc.server import Server
from kernel.events import Cause
from tests.rpc.chassis.echo import Echo, EchoStub, add_echo_to_server

KEY = "an internal key for tests"


@dataclass
class Running:
    """The server, what it serves, and a stub that bears the key."""

    server: Server
    echo: Echo
    stub: EchoStub
    channel: grpc.aio.Channel

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server.port}"


def settings(**changes: object) -> ServiceSettings:
    return ServiceSettings(_env_file=None, internal_key=SecretStr(KEY), **changes)  # type: ignore[arg-type]


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    server, echo = Server(settings(shutdown_seconds=2.0), "policy", port=0), Echo()
    server.add(add_echo_to_server, echo)
    await server.start()
    await server.set_serving(True)
    async with client.channel(f"127.0.0.1:{server.port}", internal_key=KEY) as channel:
        yield Running(server, echo, EchoStub(channel), channel)
    await server.stop()


@pytest.fixture
def cause() -> Cause:
    return Cause(
        "default", "request-1", "service:tests", datetime(2026, 1, 2, tzinfo=UTC), "run-1", "event-1"
    )
