"""What holds of state's locks holds over every log: the one in memory and a real nats-server; the store is real."""

from collections.abc import Callable

import pytest

from tests.contract.state.house import House, in_memory, on_jetstream
from tests.fakes.nats_server import NatsServer, nats_server
from tests.fakes.valkey_server import ValkeyServer, valkey_server

__all__ = ["nats_server", "valkey_server"]


@pytest.fixture(params=["memory", "jetstream"])
def houses(
    request: pytest.FixtureRequest, nats_server: NatsServer, valkey_server: ValkeyServer
) -> tuple[str, Callable[[], House]]:
    """Which log, and how to make another house over it, with nothing in it."""
    if request.param == "memory":
        return "memory", lambda: House(in_memory(), valkey_server.url)
    return "jetstream", lambda: House(on_jetstream(nats_server.url), valkey_server.url)
