"""The health check of a container against a real gRPC server: what it says is what the process says of itself."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from chassis import healthy
from chassis.rpc.waiting import Health
from tests.fakes.process import free_port

STATUS = health_pb2.HealthCheckResponse


class Patient:
    """A server that says of itself what it is told to."""

    def __init__(self) -> None:
        self.why = ""
        self.health = Health(lambda: self.why)
        self.port = 0

    async def say(self, status: Any) -> None:
        await self.health.set("", status)


@pytest.fixture
async def patient() -> AsyncIterator[Patient]:
    server, made = grpc.aio.server(), Patient()
    health_pb2_grpc.add_HealthServicer_to_server(made.health, server)
    made.port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    await made.say(STATUS.SERVING)
    yield made
    await server.stop(None)


async def look(port: int) -> str:
    """What is wrong; nothing when it serves."""
    try:
        await asyncio.to_thread(healthy.look, "policy", {"PROVOST_POLICY_PORT": str(port)})
    except healthy.Unwell as trouble:
        return str(trouble)
    return ""


async def test_who_serves_is_well_and_who_does_not_says_why(patient: Patient) -> None:
    assert await look(patient.port) == ""
    await patient.say(STATUS.NOT_SERVING)
    assert await look(patient.port) == "not serving"
    patient.why = "Vault: it is sealed"
    assert await look(patient.port) == "not serving: Vault: it is sealed"
    patient.why = "x" * 500
    assert await look(patient.port) == "not serving: " + patient.why


async def test_nobody_there_is_not_well() -> None:
    assert "does not answer on 127.0.0.1" in await look(free_port())


async def test_somebody_else_there_is_not_well() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(5)
        port = server.getsockname()[1]
        looking = asyncio.create_task(look(port))
        connection, _ = await asyncio.to_thread(server.accept)
        connection.close()
        assert "does not answer" in await looking


@pytest.mark.parametrize(
    ("command", "service"),
    [
        (b"/sbin/docker-init\0--\0python\0-m\0services.policy\0", "policy"),
        (b"\0python\0-m\0services.orchestrator.actuators\0", "actuators"),
        (b"\0python\0-m\0services.ledger.witness\0", "witness"),
    ],
)
def test_it_finds_out_what_runs(command: bytes, service: str) -> None:
    assert healthy.of_process(command) == service


def test_another_program_is_no_service() -> None:
    with pytest.raises(healthy.Unwell, match="no service of Provost"):
        healthy.of_process(b"\0sleep\x001000\0")
