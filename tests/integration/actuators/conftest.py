"""The actuators' own process beside a real policy process, on a real nats-server."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.nats_server import NatsServer, events, nats_server
from tests.fakes.process import ServerProcess, free_port
from tests.integration.policy.conftest import KEY, PolicyProcess, policy, serving

__all__ = ["events", "nats_server", "policy"]


class ActuatorsProcess(ServerProcess):
    """`python -m services.orchestrator.actuators`, as it is started everywhere."""

    def __init__(self, directory: Path, nats_url: str, policy_port: int) -> None:
        port = free_port()
        environment = {
            "PATH": os.environ["PATH"],
            "PROVOST_HOME": str(directory),
            "PROVOST_NATS_URL": nats_url,
            "PROVOST_INTERNAL_KEY": KEY,
            "PROVOST_POLICY_PORT": str(policy_port),
            "PROVOST_ACTUATORS_PORT": str(port),
            "PROVOST_METRICS_PORT": "0",
        }
        command = [sys.executable, "-m", "services.orchestrator.actuators"]
        start = ["/usr/bin/env", "-i", *(f"{name}={value}" for name, value in environment.items()), *command]
        super().__init__(start, port, directory / "actuators.log", lambda: serving(port))


@pytest.fixture
def actuators(tmp_path: Path, nats_server: NatsServer, policy: PolicyProcess) -> Iterator[ActuatorsProcess]:
    process = ActuatorsProcess(tmp_path, nats_server.url, policy.port)
    process.start()
    yield process
    process.stop()
