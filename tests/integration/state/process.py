"""State as it really runs: a process of its own over a real nats-server and a real store."""

import sys
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.fakes.process import ServerProcess, free_port

KEY = "an internal key for tests"


class StateProcess(ServerProcess):
    """`python -m services.state`; ready when health says so. `more` are settings by their names in the environment."""

    module = "services.state"

    def __init__(self, home: Path, nats_url: str, store_url: str, **more: str) -> None:
        port = free_port()
        settings = {
            "PROVOST_HOME": str(home),
            "PROVOST_NATS_URL": nats_url,
            "PROVOST_STORE_URL": store_url,
            "PROVOST_STATE_PORT": str(port),
            "PROVOST_METRICS_PORT": "0",
            "PROVOST_INTERNAL_KEY": KEY,
            **more,
        }
        # `env` sets them for the child alone.
        told = [f"{name}={value}" for name, value in settings.items()]
        super().__init__(
            ["env", *told, sys.executable, "-m", self.module], port, home / "state.log", self.serving
        )

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def serving(self) -> bool:
        """What health answers."""
        with grpc.insecure_channel(self.address) as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            try:
                answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=1)
            except grpc.RpcError:
                return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
