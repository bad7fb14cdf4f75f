"""A real ledger behind a real gateway, and a program in Go that reads the log over HTTP."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fakes.doors import ADMIN
from tests.fakes.nats_server import NatsServer, events, nats_server
from tests.fakes.valkey_server import ValkeyServer, valkey_server
from tests.integration.gateway.conftest import GatewayProcess
from tests.integration.ledger.process import LedgerProcess

__all__ = ["events", "nats_server", "valkey_server"]

SOURCE = Path(__file__).with_name("tlog_client") / "main.go"


@dataclass
class Log:
    """The log as the world sees it, and the processes behind it."""

    ledger: LedgerProcess
    gateway: GatewayProcess
    client: Path
    home: Path

    def read(self, old: str, *vkeys: str) -> "subprocess.CompletedProcess[str]":
        """Let the program in Go read all of it, holding the checkpoint `old` and these keys."""
        kept = self.home / "old-checkpoint"
        kept.write_text(old, encoding="utf-8")
        command = [self.client, f"{self.gateway.url}/tlog", ADMIN, kept, *vkeys]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    def change_keys(self, step: str) -> list[str]:
        """Run the operator's command beside the ledger; the keys that sign then."""
        command = [sys.executable, "-m", "services.ledger.keys", step]
        environment = {"PATH": os.environ["PATH"], "PROVOST_HOME": str(self.ledger.home)}
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=60, check=True
        )
        return done.stdout.split()


@pytest.fixture(scope="session")
def client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, built from Debian's packages alone."""
    place = tmp_path_factory.mktemp("go")
    program = place / "tlog_client"
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(place),
        "GOCACHE": str(place / "cache"),
        "GOPATH": "/usr/share/gocode",
        "GO111MODULE": "off",
        "GOFLAGS": "",
    }
    subprocess.run(["go", "build", "-o", program, SOURCE], env=environment, check=True, timeout=300)
    return program


@pytest.fixture
def log(
    tmp_path: Path, nats_server: NatsServer, valkey_server: ValkeyServer, events: object, client: Path
) -> Iterator[Log]:
    """A ledger, its log empty when it starts, and a gateway before it."""
    ledger = LedgerProcess(tmp_path / "ledger-home", nats_server.url)
    ledger.home.mkdir()
    ledger.start()
    peers = dict.fromkeys(("ledger", "policy", "orchestrator"), ledger.address)
    gateway = GatewayProcess(tmp_path, nats_server.url, valkey_server.url, peers)
    gateway.start()
    yield Log(ledger, gateway, client, tmp_path)
    gateway.stop()
    ledger.stop()
