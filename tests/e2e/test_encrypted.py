"""The whole of Provost with mutual TLS between its processes and to NATS, where each may say just what it needs."""

import socket
import ssl
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from chassis.rpc import client as rpc
from chassis.tls.certificates import Certificates
from kernel.events import Cause
from kernel.faults import Denied
from provost.policy.v1 import policy_pb2 as pb
from provost.policy.v1.policy_pb2_grpc import PolicyServiceStub
from tests.e2e.conftest import client
from tests.e2e.embedded.embedded import Embedded
from tests.e2e.test_main_job import LOG, process

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    given = Embedded(
        tmp_path_factory.mktemp("provost") / "home",
        RATE_LIMIT_REQUESTS="0",
        PROVOST_TLS="true",
        PROVOST_PUBLIC_EVENTS="true",
        PROVOST_ARTIFACTS="nats",
    )
    given.start()
    yield given
    given.stop()
    given.kill()


def test_the_main_job_is_done_and_nobody_is_refused_anything(encrypted: Embedded) -> None:
    with client(encrypted, "operator") as api:
        answer = process(api, LOG)
        assert answer.status_code == 200, answer.text
        run = answer.json()
        assert run["state"] == "COMPLETED"
        assert run["plan"]
        with client(encrypted, "auditor") as auditor:
            found = auditor.get("/api/events")
            assert found.status_code == 200, found.text
            assert found.json()["items"]
        revoked = api.post("/api/agents/sre-2/revoke", json={"reason": "odd", "wait_ms": 5000})
        assert revoked.status_code == 200, revoked.text
        receipt = revoked.json()["receipt"]
        assert {each["service"] for each in receipt["lost"]} == {
            "policy",
            "state",
            "orchestrator",
            "actuators",
        }
        assert receipt["silent"] == []
    logs = encrypted.home / "logs"
    said = "\n".join(each.read_text(errors="replace") for each in sorted(logs.glob("*.log")))
    assert " violation" not in said.lower()
    assert "CALLER_NOT_ALLOWED" not in said


async def test_the_certificate_of_the_crew_becomes_nobody_else(encrypted: Embedded) -> None:
    with client(encrypted, "admin") as api:
        made = api.post(
            "/api/agents", json={"agent_id": "victim", "tier": "T3_EXECUTOR", "agent_version": "1"}
        )
        assert made.status_code == 200, made.text
    shown = Certificates(
        *(encrypted.home / "certs" / "agents" / name for name in ("tls.crt", "tls.key", "ca.crt"))
    )
    key = (encrypted.home / "keys" / "internal").read_text().strip()
    crew = Cause("default", "r", "service:agents", datetime.now(UTC))
    at = f"127.0.0.1:{encrypted.environment['PROVOST_POLICY_PORT']}"
    async with rpc.channel(at, internal_key=key, service="policy", certificates=shown) as over:
        policy: Any = PolicyServiceStub(over)

        async def secret(agent_id: str, cause: Cause, **more: Any) -> Any:
            asked = pb.CreateSecretRequest(request_id="secret", agent_id=agent_id)
            return await rpc.call(policy.CreateSecret, asked, cause, **more)

        async def register(cause: Cause, tier: pb.Tier.ValueType) -> Any:
            asked = pb.RegisterAgentRequest(request_id="register", agent_id="evil", tier=tier)
            return await rpc.call(policy.RegisterAgent, asked, cause)

        for attempt, told in (
            (secret("victim", crew), "was not registered by the built-in crew"),
            (secret("victim", replace(crew, actor="key:admin")), "must be service:agents"),
            (secret("victim", crew, roles=("service", "admin")), "must be service"),
            (register(replace(crew, actor="key:alice"), pb.TIER_T3_EXECUTOR), "must be service:agents"),
            (register(replace(crew, tenant="acme"), pb.TIER_T1_OPERATOR), "must be default"),
            (register(crew, pb.TIER_T2_BUILDER), "T1_OPERATOR at most"),
        ):
            with pytest.raises(Denied, match=told) as caught:
                await attempt
            assert caught.value.reason == "CALLER_NOT_ALLOWED"
        assert (await secret("sre-1", crew)).secret_id
    with client(encrypted, "viewer") as api:
        agents = {each["agent_id"] for each in api.get("/api/agents").json()["items"]}
    assert "victim" in agents
    assert "evil" not in agents


def test_no_port_between_processes_speaks_in_the_clear(encrypted: Embedded) -> None:
    certs = encrypted.home / "certs"
    for service in ("policy", "state", "ledger", "orchestrator", "actuators"):
        port = int(encrypted.environment[f"PROVOST_{service.upper()}_PORT"])
        with socket.create_connection(("127.0.0.1", port), 5) as plain:
            plain.settimeout(5)
            plain.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
            assert _answered(plain) in (b"", b"\x15"), f"{service} answers in the clear"
        assert f"spiffe://provost/{service}" in _shown(certs, port)


def _answered(connection: socket.socket) -> bytes:
    """The first byte: nothing, or that of a TLS alert."""
    try:
        return connection.recv(1)
    except ConnectionResetError:
        return b""


def _shown(certs: Path, port: int) -> str:
    context = ssl.create_default_context(cafile=str(certs / "ca.crt"))
    context.check_hostname = False
    context.load_cert_chain(certs / "gateway" / "tls.crt", certs / "gateway" / "tls.key")
    with socket.create_connection(("127.0.0.1", port), 5) as plain, context.wrap_socket(plain) as over:
        return str(over.getpeercert())
