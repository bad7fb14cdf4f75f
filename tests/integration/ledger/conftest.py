"""A real ledger process on a real nats-server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.nats_server import NatsServer, events, nats_server
from tests.integration.ledger.process import LedgerProcess

__all__ = ["events", "nats_server"]


@pytest.fixture
def ledger(tmp_path: Path, nats_server: NatsServer, events: object) -> Iterator[LedgerProcess]:
    """A ledger, its log empty when it starts."""
    process = LedgerProcess(tmp_path, nats_server.url)
    process.start()
    yield process
    process.stop()
