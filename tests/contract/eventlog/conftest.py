"""Every test of the contract runs against both logs."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.contract.eventlog.subject import JetStream, Memory, Subject, jetstream
from tests.fakes.nats_server import NatsServer, events, nats_server

__all__ = ["events", "nats_server"]

IN_BURSTS = "jetstream, in bursts"


@pytest_asyncio.fixture(params=["memory", "jetstream"])
async def subject(request: pytest.FixtureRequest, nats_server: NatsServer) -> AsyncIterator[Subject]:
    if request.param == "memory":
        yield Memory()
        return
    made = await jetstream(nats_server)
    made.gather_seconds = 0.02 if request.param == IN_BURSTS else 0.0
    yield made
    await close(made)


@pytest_asyncio.fixture
async def real(nats_server: NatsServer) -> AsyncIterator[JetStream]:
    """The real log alone."""
    made = await jetstream(nats_server)
    yield made
    await close(made)


async def close(made: JetStream) -> None:
    made.server.resume()
    await made.connection.close()
    await made.second.close()
