"""Three real nats-servers that are one cluster, as `deploy/` runs them: what is asked for R3 is kept by all of them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chassis.eventlog.api import call
from chassis.eventlog.connection import connect
from chassis.eventlog.stream import EVENTS, ensure_stream
from kernel.faults import Unavailable
from tests.fakes.nats_server import NatsServer
from tests.fakes.process import free_port
from tests.fakes.wait import until

_CLUSTER = """
server_name: "{name}"
cluster {{ name: "test", listen: "127.0.0.1:{port}", no_advertise: true, routes: {routes} }}
"""


class NatsCluster:
    """Nodes `n0`, `n1`, `n2`."""

    def __init__(self, directory: Path) -> None:
        ports = [free_port() for _ in range(3)]
        routes = json.dumps([f"nats://127.0.0.1:{port}" for port in ports])
        self.nodes: list[NatsServer] = []
        for number, port in enumerate(ports):
            home = directory / f"n{number}"
            home.mkdir()
            extra = _CLUSTER.format(name=f"n{number}", port=port, routes=routes)
            self.nodes.append(NatsServer(home, extra=extra))

    @property
    def url(self) -> str:
        return ",".join(node.url for node in self.nodes)

    def start(self) -> None:
        for node in self.nodes:
            node.start()

    def stop(self) -> None:
        for node in self.nodes:
            node.stop()

    def leader(self, info: dict[str, Any]) -> NatsServer:
        """The node that leads a stream, by the answer to STREAM.INFO."""
        return self.nodes[int(info["cluster"]["leader"].removeprefix("n"))]


@pytest.fixture(scope="session")
def nats_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsCluster]:
    cluster = NatsCluster(tmp_path_factory.mktemp("cluster"))
    cluster.start()
    yield cluster
    cluster.stop()


async def with_a_log(cluster: NatsCluster) -> None:
    """Until it has elected whom it needs, and all three have the log."""
    connection = await connect(cluster.url, name="test")

    async def whole() -> bool:
        try:
            await ensure_stream(connection, replicas=3, max_bytes=64 * 1024**2)
            told = (await call(connection, f"STREAM.INFO.{EVENTS}")).get("cluster", {})
        except Unavailable:
            return False
        others = told.get("replicas", [])
        return len(others) == 2 and all(each["current"] and not each.get("offline") for each in others)

    try:
        await until(whole, "three nodes do not become a cluster", 40)
    finally:
        await connection.close()
