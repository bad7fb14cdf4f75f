"""A real nats-server with durable settings, and a stream that every test finds empty.

`nats_server` starts one for the whole session; `events` is a connection to it with a fresh `EVENTS` stream. Import
both into a conftest to use them.
"""

import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from chassis.eventlog.api import call
from chassis.eventlog.connection import connect
from chassis.eventlog.stream import EVENTS, ensure_stream
from chassis.eventlog.wire import Connection
from kernel.faults import Unavailable
from tests.fakes.process import ServerProcess, answers, free_port
from tests.fakes.wait import until

_CONFIG = """
listen: "127.0.0.1:{port}"
jetstream {{ store_dir: "{store}", sync_interval: always{room} }}
{extra}
"""


class NatsServer(ServerProcess):
    """nats-server from its wheel, syncing every write; `extra` is added to its configuration."""

    def __init__(self, directory: Path, port: int | None = None, extra: str = "") -> None:
        port = port or free_port()
        self.store = directory / "jetstream"
        self._config = directory / "nats.conf"
        self._extra = extra
        binary = Path(sys.executable).parent / "nats-server"
        super().__init__(
            [str(binary), "-c", str(self._config)],
            port,
            directory / "nats.log",
            lambda: answers(port, b"", b"INFO "),
        )
        self._configure()

    def may_use(self, max_file_store: str) -> None:
        """As much for its log, as `2MB`, from its next start; untold, it goes by the disk as it finds it."""
        self._configure(f", max_file_store: {max_file_store}")

    def _configure(self, room: str = "") -> None:
        text = _CONFIG.format(port=self.port, store=self.store, room=room, extra=self._extra)
        self._config.write_text(text)

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    server = NatsServer(tmp_path_factory.mktemp("nats"))
    server.start()
    yield server
    server.stop()


@pytest_asyncio.fixture
async def events(nats_server: NatsServer) -> AsyncIterator[Connection]:
    """A connection to a log with nothing in it."""
    connection = await connect(nats_server.url, name="test")
    await fresh_stream(connection)
    yield connection
    await connection.close()


async def fresh_stream(connection: Connection, max_bytes: int = 256 * 1024**2) -> None:
    """Empty the log by making it anew."""
    await call(connection, f"STREAM.DELETE.{EVENTS}")

    async def made() -> bool:
        # The server answers a deletion before the directory is gone: making it anew at once can find it half there
        # ("error creating store for stream").
        try:
            await ensure_stream(connection, max_bytes=max_bytes)
        except Unavailable:
            return False
        return True

    await until(made, "the stream could not be made anew")
    connection.newest = None  # what was in the old one is no reason to doubt this one
