"""The gateway as a process of its own, with a real event log and a real store, before real services."""

import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest
import pytest_asyncio

from chassis.eventlog.wire import Connection
from tests.fakes.doors import ADMIN, APPROVER, OPERATOR, VIEWER
from tests.fakes.nats_server import NatsServer, events, nats_server
from tests.fakes.peers import INTERNAL_KEY, Peers
from tests.fakes.process import ServerProcess, answers, free_port
from tests.fakes.valkey_server import ValkeyServer, valkey_server

__all__ = ["events", "nats_server", "valkey_server"]

REPOSITORY = Path(__file__).resolve().parents[3]
AS_OPERATOR = {"X-API-Key": OPERATOR}
COMMAND = (sys.executable, "-m", "services.gateway")
GET_HEALTH = b"GET /api/docs HTTP/1.0\r\n\r\n"


class GatewayProcess(ServerProcess):
    """`python -m services.gateway`; `changes` to its environment."""

    def __init__(self, directory: Path, nats: str, store: str, peers: dict[str, str], **changes: str) -> None:
        self.http_port, self.grpc_port = free_port(), free_port()
        self.log = directory / "gateway.log"
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PROVOST_")},
            "PYTHONPATH": str(REPOSITORY),
            "PROVOST_HOME": str(directory),
            "PROVOST_HTTP_PORT": str(self.http_port),
            "PROVOST_GATEWAY_PORT": str(self.grpc_port),
            "PROVOST_METRICS_PORT": "0",
            "PROVOST_INTERNAL_KEY": INTERNAL_KEY,
            "PROVOST_NATS_URL": nats,
            "PROVOST_STORE_URL": store,
            "API_KEYS": f"{OPERATOR},viewer:{VIEWER},approver:{APPROVER}",
            "ADMIN_KEYS": ADMIN,
            "RATE_LIMIT_REQUESTS": "0",
            **{
                f"PROVOST_{name.upper()}_ADDRESS": f"127.0.0.1:{free_port()}"
                for name in ("state", "actuators")
            },
            **{f"PROVOST_{name.upper()}_ADDRESS": address for name, address in peers.items()},
            **changes,
        }
        super().__init__(
            [
                "env",
                "-i",
                *(f"{name}={value}" for name, value in environment.items()),
                sys.executable,
                "-m",
                "services.gateway",
            ],
            self.http_port,
            self.log,
            lambda: answers(self.http_port, GET_HEALTH, b"200"),
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.grpc_port}"

    def peak_memory_mib(self) -> float:
        """The most it has held at once since it started or since `forget_peak`."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        (line,) = [each for each in status.splitlines() if each.startswith("VmHWM")]
        return int(line.split()[1]) / 1024

    def forget_peak(self) -> None:
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")  # proc(5): reset the peak resident set size


@dataclass
class Door:
    """The gateway's process and what stands behind it."""

    process: GatewayProcess
    peers: Peers
    events: Connection
    nats: NatsServer
    valkey: ValkeyServer
    rest: httpx2.AsyncClient = field(repr=False)


@pytest.fixture
def changes() -> dict[str, str]:
    """To the gateway's environment; a module may have others."""
    return {}


@pytest_asyncio.fixture
async def door(
    tmp_path: Path,
    nats_server: NatsServer,
    valkey_server: ValkeyServer,
    events: Connection,
    changes: dict[str, str],
) -> AsyncIterator[Door]:
    async with Peers() as peers:
        process = GatewayProcess(tmp_path, nats_server.url, valkey_server.url, peers.addresses, **changes)
        process.start()
        async with httpx2.AsyncClient(base_url=process.url, headers=AS_OPERATOR, timeout=30) as rest:
            yield Door(process, peers, events, nats_server, valkey_server, rest)
        process.stop()
