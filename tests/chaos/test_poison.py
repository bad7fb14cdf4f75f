"""Fault 16: messages that no one can read, on every subject that somebody follows. The rest goes on."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import httpx2 as httpx
import pytest

from chassis.eventlog.connection import connect
from chassis.eventlog.wire import Connection
from tests.chaos.callers import LOG, Callers
from tests.chaos.test_kill import command, must, nats_url
from tests.e2e.embedded.embedded import Embedded

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

FOLLOWED = (
    "evt.default.policy.agent.{id}.AgentRevoked",
    "evt.default.policy.agent.{id}.AgentRegistered",
    "evt.default.policy.approval.{id}.ApprovalAnswered",
    "evt.default.policy.policyset.{id}.PolicySetPublished",
    "evt.default.policy.agent.{id}.RevocationConfirmed",
    "evt.default.state.signingkey.{id}.SigningKeyAnnounced",
    "evt.default.state.agent.{id}.PacketIssued",
    "evt.default.state.agent.{id}.LockAcquired",
    "evt.default.state.task.{id}.ArtifactStored",
    "evt.default.orchestrator.run.{id}.RunStarted",
    "evt.default.orchestrator.run.{id}.RunEnded",
    "evt.default.orchestrator.run.{id}.PlanRecorded",
    "evt.default.gateway.access.{id}.AccessRefused",
    "evt.default.ledger.erasure.{id}.SubjectErased",
)
POISON = (
    (b"", b""),
    (b"", b"\xff\xff\xff\xff"),
    (b"NATS/1.0\r\nno colon at all\r\n\r\n", b"\x0a\x05"),
    (b"NATS/1.0\r\nce-type: acme.v9.Unheard\r\nce-id: \xff\xfe\r\nce-time: yesterday\r\n\r\n", b"{}"),
    (b"NATS/1.0\r\nce-type: {type}\r\nce-id: p\r\nce-aggver: many\r\nce-prevseq: -1\r\n\r\n", b"\xff" * 20),
    (b"NATS/1.0\r\nce-type: {type}\r\nce-id: %FF%0D%0A\r\nce-time: 9999-99-99\r\n\r\n", b""),
)
ODD = (
    "evt.x",
    "evt.a.b.c.d.e.f.g",
    "evt.d\u00e9fault.policy.agent.\u6771.AgentRevoked",
    "evt.*x.policy.agent.a.b",
)
THE_SET = "evt.default.policy.policyset.current.PolicySetPublished"


@pytest.fixture
def provost(tmp_path: Path) -> Iterator[Embedded]:
    given = Embedded(tmp_path / "home", RATE_LIMIT_REQUESTS="0")
    given.start()
    yield given
    given.kill()
    given.until(lambda: not given.processes(), "all processes are gone")


async def publish(connection: Connection, subject: str, header: bytes, payload: bytes) -> int:
    _, answer = await connection.ask(subject, payload, header=header, timeout_seconds=30)
    told = json.loads(answer)
    assert "error" not in told, told
    return int(told["seq"])


async def poison(connection: Connection) -> int:
    last = 0
    for n, (header, payload) in enumerate(POISON):
        for subject in FOLLOWED:
            context, short = subject.split(".")[2], subject.split(".")[-1]
            kind = f"provost.{context}.v1.{short}".encode()
            last = await publish(
                connection, subject.format(id=f"poisoned-{n}"), header.replace(b"{type}", kind), payload
            )
    for subject in ODD:
        last = await publish(connection, subject, b"", b"odd")
    return last


async def runs(provost: Embedded, count: int) -> None:
    callers = Callers(provost.run_json()["http"], provost.key("operator"))
    asking = asyncio.create_task(callers.ask())
    await callers.more(count, 60)
    callers.finish()
    await asking
    assert callers.unexpected == []


async def test_poison_is_parked_and_the_rest_goes_on(provost: Embedded) -> None:
    await runs(provost, 4)
    pids = provost.run_json()["pids"]
    connection = await connect(nats_url(provost), name="poisoner")
    last = await poison(connection)
    assert last > len(POISON) * len(FOLLOWED)
    await runs(provost, 8)
    must(provost, "status", "--wait", "20")
    must(provost, "state", "verify")
    must(provost, "ledger", "verify")
    assert provost.run_json()["pids"] == pids, "a process died of it"
    for name in ("policy", "state", "orchestrator", "actuators", "gateway", "ledger"):
        assert "follower halted" not in (provost.home / "logs" / f"{name}.log").read_text(), name
    head = json.loads(must(provost, "ledger", "head", "--json"))
    assert int(head["tree_head"]["tree_size"]) >= last, "not every message is a leaf"
    # An agent whose own events cannot be read has no say until a program comes that can read them.
    denied = command(provost, "run", "poisoned-4", "a-task", "memory")
    assert denied.returncode != 0, denied.stdout
    await connection.close()


async def decided(provost: Embedded, request_id: str) -> tuple[set[str], int]:
    """Why each action of a new run that may act was allowed or denied; how many were done."""
    key = {"X-API-Key": provost.key("operator")}
    asked = {"log": LOG, "mode": "auto", "request_id": request_id}
    async with httpx.AsyncClient(base_url=provost.run_json()["http"], headers=key, timeout=60) as client:
        answer = await client.post("/api/process_log", json=asked)
    assert answer.status_code == 200, answer.text
    run = answer.json()
    assert run["state"] == "COMPLETED", run
    return {each["reason"] for each in run["decisions"]}, len(run["outcome"]["effects"])


async def test_a_set_in_force_that_cannot_be_read_allows_nothing_and_stops_nothing(provost: Embedded) -> None:
    connection = await connect(nats_url(provost), name="poisoner")
    header, payload = POISON[0]
    await publish(connection, THE_SET, header, payload)  # no event of anybody's: the set stays as it is
    reasons, done = await decided(provost, "before")
    assert "ALLOWED_BY_TIER" in reasons
    assert done
    pids = provost.run_json()["pids"]
    for header, payload in POISON:
        await publish(
            connection, THE_SET, header.replace(b"{type}", b"provost.policy.v1.PolicySetPublished"), payload
        )
    await connection.close()
    provost.until(lambda: command(provost, "policy", "show").returncode != 0, "policy has heard of it")
    assert await decided(provost, "after") == ({"POLICY_SET_INVALID"}, 0)
    assert provost.run_json()["pids"] == pids, "a process died of it"
    provost.kill()
    provost.until(lambda: not provost.processes(), "all processes are gone")
    provost.start()
    shown = command(provost, "policy", "show")
    assert shown.returncode, "another set took its place"
    assert "UNREADABLE_EVENT" in shown.stderr
    assert "one that can be read" in must(provost, "policy", "explain", "sre-1", "diagnostics.memory")
    must(provost, "agents", "revoke", "sre-1", "--reason", "seen enough")
    must(provost, "status", "--wait", "20")
    must(provost, "state", "verify")
    must(provost, "ledger", "verify")
