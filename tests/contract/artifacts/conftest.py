"""Every test of the contract runs on files, on one nats-server, and on three that are one."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from chassis.eventlog.connection import connect
from chassis.eventlog.stream import ensure_stream
from tests.contract.artifacts.places import InDirectory, InNats, Place, in_nats
from tests.fakes.nats_cluster import NatsCluster, nats_cluster, with_a_log
from tests.fakes.nats_server import NatsServer, nats_server

__all__ = ["nats_cluster", "nats_server"]


@pytest_asyncio.fixture(params=["directory", "nats", "nats-r3"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    if request.param == "directory":
        yield InDirectory(tmp_path)
        return
    if request.param == "nats":
        server: NatsServer = request.getfixturevalue("nats_server")
        url = server.url
    else:
        cluster: NatsCluster = request.getfixturevalue("nats_cluster")
        await with_a_log(cluster)
        url = cluster.url
    connection, second = await connect(url, name="test"), await connect(url, name="test")
    await ensure_stream(connection, max_bytes=64 * 1024**2)
    yield await in_nats(connection, second)
    await connection.close()
    await second.close()


@pytest_asyncio.fixture
async def objects(nats_server: NatsServer) -> AsyncIterator[InNats]:
    """In NATS alone."""
    connection, second = await connect(nats_server.url, name="a"), await connect(nats_server.url, name="b")
    await ensure_stream(connection, max_bytes=64 * 1024**2)
    yield await in_nats(connection, second)
    await connection.close()
    await second.close()
