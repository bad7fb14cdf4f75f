"""A real ledger behind a real gateway: the log as callers reach it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from provost.ledger.v1 import ledger_pb2 as pb
from tests.fakes.nats_server import NatsServer, events, nats_server
from tests.fakes.valkey_server import ValkeyServer, valkey_server
from tests.integration.gateway.conftest import GatewayProcess
from tests.integration.ledger.process import LedgerProcess

__all__ = ["events", "nats_server", "valkey_server"]


@dataclass
class Log:
    """The processes, and what an operator does beside them."""

    ledger: LedgerProcess
    gateway: GatewayProcess

    @property
    def url(self) -> str:
        """Where the log is at the paths of C2SP tlog-tiles."""
        return f"{self.gateway.url}/tlog"

    async def head(self, sequence: int) -> pb.GetTreeHeadResponse:
        """The newest signed head, once it covers `sequence`."""
        answer = await self.ledger.ask("GetTreeHead", pb.GetTreeHeadRequest(at_least_sequence=sequence))
        assert isinstance(answer, pb.GetTreeHeadResponse)
        return answer

    def change_keys(self, step: str) -> list[str]:
        """Run the operator's command beside the ledger; the keys that sign then."""
        command = [sys.executable, "-m", "services.ledger.keys", step]
        environment = {"PATH": os.environ["PATH"], "PROVOST_HOME": str(self.ledger.home)}
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=60, check=True
        )
        return done.stdout.split()


@pytest.fixture
def log(
    tmp_path: Path, nats_server: NatsServer, valkey_server: ValkeyServer, events: object
) -> Iterator[Log]:
    """A ledger, its log empty when it starts, and a gateway before it."""
    ledger = LedgerProcess(tmp_path / "ledger-home", nats_server.url)
    ledger.home.mkdir()
    ledger.start()
    peers = dict.fromkeys(("ledger", "policy", "orchestrator"), ledger.address)
    gateway = GatewayProcess(tmp_path, nats_server.url, valkey_server.url, peers)
    gateway.start()
    yield Log(ledger, gateway)
    gateway.stop()
    ledger.stop()
