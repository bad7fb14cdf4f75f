"""Policy with its secrets in a real OpenBao that is sealed, unsealed and asked what is left of an agent."""

import asyncio
import os
import sys
import urllib.error
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any, Self

import grpc
import grpc.aio
import pytest
import pytest_asyncio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from chassis import process
from chassis.eventlog.connection import connect
from chassis.eventlog.jetstream import JetStreamLog
from chassis.rpc import client
from chassis.rpc.waiting import WHY
from kernel.events import Cause
from kernel.faults import Fault, Unavailable
from provost.policy.v1 import policy_pb2 as pb
from provost.policy.v1.policy_pb2_grpc import PolicyServiceStub
from services.policy.wire import CODEC
from tests.fakes.bao_server import KEY, BaoServer
from tests.fakes.nats_server import NatsServer
from tests.fakes.process import ServerProcess, free_port
from tests.fakes.wait import until
from tests.integration.policy.test_crash import put_packet

AGENT: dict[str, Any] = {"actor": "key:edge", "roles": ("operator",)}


class VaultedPolicy(ServerProcess):
    """Policy that is told where Vault is, and no secret; started as soon as its health says anything."""

    def __init__(self, directory: Path, nats_url: str, bao: BaoServer) -> None:
        port = free_port()
        self.log = directory / "policy.log"
        told = {
            "PATH": os.environ["PATH"],
            "PROVOST_HOME": str(directory),
            "PROVOST_NATS_URL": nats_url,
            "PROVOST_POLICY_PORT": str(port),
            "PROVOST_METRICS_PORT": "0",
            "VAULT_URL": bao.url,
            "PROVOST_VAULT_ROLE_ID_FILE": str(bao.roles / "{service}.role-id"),
            "PROVOST_VAULT_SECRET_ID_FILE": str(bao.roles / "{service}.secret-id"),
        }
        start = ["/usr/bin/env", "-i", *(f"{name}={value}" for name, value in told.items())]
        super().__init__(
            [*start, sys.executable, "-m", "services.policy"], port, self.log, lambda: health(port)[0] != ""
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def serving(self) -> None:
        await until(lambda: health(self.port)[0] == "SERVING", f"policy serves\n{self.log.read_text()}")

    async def call(
        self, method: str, request: Any, *, actor: str = "service:tests", roles: Any = ("service",)
    ) -> Any:
        cause = Cause("default", "", actor, process.now(), "run-1")
        async with client.channel(f"127.0.0.1:{self.port}", internal_key=KEY) as channel:
            stub: Any = PolicyServiceStub(channel)
            return await client.call(getattr(stub, method), request, cause, 10.0, roles=roles)

    async def register(self, agent_id: str = "sre-1") -> None:
        request = pb.RegisterAgentRequest(
            request_id=process.new_id(), agent_id=agent_id, tier=pb.TIER_T1_OPERATOR, agent_version="1.0"
        )
        await self.call("RegisterAgent", request)

    async def secret(self, agent_id: str = "sre-1", wrap_seconds: int = 0) -> pb.CreateSecretResponse:
        request = pb.CreateSecretRequest(
            request_id=process.new_id(), agent_id=agent_id, wrap_seconds=wrap_seconds
        )
        made: pb.CreateSecretResponse = await self.call("CreateSecret", request)
        return made

    async def session(self, made: Any) -> pb.CreateSessionResponse:
        request = pb.CreateSessionRequest(
            request_id=process.new_id(), role_id=made.role_id, secret_id=made.secret_id
        )
        opened: pb.CreateSessionResponse = await self.call("CreateSession", request, **AGENT)
        return opened

    async def authorize(self, token: str) -> pb.Decision:
        context = pb.RunContext(
            run_id="run-1", task_id="task-1", agent_id="sre-1", mode=pb.MODE_AUTO, fencing_token=1
        )
        action = pb.Action(
            action_id="a1", name="diagnostics.memory", target="localhost", environment="sandbox"
        )
        request = pb.AuthorizeRequest(session_token=token, context=context, action=action)
        decision: pb.Decision = (await self.call("Authorize", request, **AGENT)).decision
        return decision


def health(port: int) -> tuple[str, str]:
    """What health says, and why; nothing when nobody answers."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        try:
            answer, call = stub.Check.with_call(health_pb2.HealthCheckRequest(), timeout=1)
        except grpc.RpcError:
            return "", ""
    said = dict(call.trailing_metadata())
    return health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status), str(said.get(WHY, ""))


@pytest_asyncio.fixture
async def bao(tmp_path: Path) -> AsyncIterator[BaoServer]:
    server = BaoServer(tmp_path / "bao")
    server.initialised()
    await server.bootstrap()
    yield server
    server.stop()


def accessors(bao: BaoServer) -> set[str]:
    """Of every token of an agent that there is in Vault."""
    found = set()
    for accessor in bao.ask("LIST", "auth/token/accessors")["data"]["keys"]:
        try:
            token = bao.ask("POST", "auth/token/lookup-accessor", {"accessor": accessor})["data"]
        except urllib.error.HTTPError:
            continue  # it has run out meanwhile
        if token["path"] == "auth/agents/login":
            found.add(accessor)
    return found


async def test_fault_9_sealed_at_the_start_policy_is_not_ready_and_says_why(
    bao: BaoServer, nats_server: NatsServer, events: object, tmp_path: Path
) -> None:
    bao.seal()
    with VaultedPolicy(tmp_path, nats_server.url, bao) as policy:
        await until(lambda: "sealed" in health(policy.port)[1], "health says that Vault is sealed")
        assert health(policy.port)[0] == "NOT_SERVING"
        with pytest.raises(Unavailable):
            await policy.register()
        bao.unseal()
        await policy.serving()
        assert health(policy.port) == ("SERVING", "")
        await policy.register()
        assert (await policy.session(await policy.secret())).session_token


async def test_fault_9_sealed_while_it_runs_sessions_go_on_and_nobody_gets_another(
    bao: BaoServer, nats_server: NatsServer, events: Any, tmp_path: Path
) -> None:
    with VaultedPolicy(tmp_path, nats_server.url, bao) as policy:
        await policy.serving()
        await policy.register()
        await put_packet(events, "sre-1")
        made, wrapped = await policy.secret(), await policy.secret(wrap_seconds=600)
        token = (await policy.session(made)).session_token
        await until(lambda: _allowed(policy, token), "the packet is known")

        bao.seal()
        await until(lambda: "sealed" in health(policy.port)[1], "health says that Vault is sealed")
        assert health(policy.port)[0] == "SERVING"
        assert (await policy.authorize(token)).verdict == pb.VERDICT_ALLOW
        unwrap = pb.UnwrapSecretRequest(request_id="u", wrapping_token=wrapped.wrapping_token)
        for asked in (policy.session(made), policy.secret(), policy.call("UnwrapSecret", unwrap, **AGENT)):
            with pytest.raises(Unavailable) as refused:
                await asked
            assert refused.value.reason == "VAULT_UNREACHABLE"
        assert (await policy.authorize(token)).verdict == pb.VERDICT_ALLOW

        bao.unseal()
        await until(lambda: health(policy.port) == ("SERVING", ""), "policy goes on by itself")
        assert (await policy.session(made)).session_token
        unwrapped = await policy.call("UnwrapSecret", unwrap, **AGENT)
        assert (await policy.session(unwrapped)).agent_id == "sre-1"


async def _allowed(policy: VaultedPolicy, token: str) -> bool:
    return (await policy.authorize(token)).verdict == pb.VERDICT_ALLOW


async def test_fault_9_a_session_ends_with_its_ttl_and_nothing_follows_while_vault_is_sealed(
    bao: BaoServer, nats_server: NatsServer, events: Any, tmp_path: Path
) -> None:
    """The session is as old as its TTL for a policy whose clock is ahead by so much."""
    with VaultedPolicy(tmp_path, nats_server.url, bao) as policy:
        await policy.serving()
        await policy.register()
        await put_packet(events, "sre-1")
        made = await policy.secret()
        token = (await policy.session(made)).session_token
        await until(lambda: _allowed(policy, token), "the packet is known")
    later = VaultedPolicy(tmp_path, nats_server.url, bao)
    later._command.insert(2, "PROVOST_CLOCK_OFFSET_SECONDS=1801")
    with later:
        await later.serving()
        bao.seal()
        await until(lambda: "sealed" in health(later.port)[1], "health says that Vault is sealed")
        with pytest.raises(Fault) as over:
            await later.authorize(token)
        assert over.value.reason == "TOKEN_EXPIRED"
        with pytest.raises(Unavailable) as refused:
            await later.session(made)
        assert refused.value.reason == "VAULT_UNREACHABLE"


async def test_a_revoked_agent_has_no_token_no_role_and_no_entry_in_vault(
    bao: BaoServer, nats_server: NatsServer, events: object, tmp_path: Path
) -> None:
    with VaultedPolicy(tmp_path, nats_server.url, bao) as policy:
        await policy.serving()
        await policy.register()
        made = await policy.secret()
        await asyncio.gather(*(policy.session(made) for _ in range(3)))
        # Past policy: the agent has found Vault, and shows it the same.
        shown = {"role_id": made.role_id, "secret_id": made.secret_id}
        own = bao.ask("POST", "auth/agents/login", shown, token="")["auth"]
        assert len(accessors(bao)) == 4
        plans = "secret/data/plans/mine"
        bao.ask("POST", plans, {"data": {"step": "one"}}, token=own["client_token"])

        revoke = pb.RevokeAgentRequest(request_id="r", agent_id="sre-1", kind="operator", wait_ms=5000)
        receipt = (await policy.call("RevokeAgent", revoke)).receipt
        assert [each.ended for each in receipt.lost if each.surface == "vault"] == [3]
        await until(lambda: accessors(bao) <= {own["accessor"]}, "its tokens are gone")
        for asked in (
            partial(bao.ask, "GET", plans, token=own["client_token"]),
            partial(bao.ask, "POST", "auth/agents/login", shown, token=""),
            partial(bao.ask, "LIST", "auth/agents/role"),
        ):
            with pytest.raises(urllib.error.HTTPError):
                asked()


async def test_a_revocation_while_vault_is_sealed_is_finished_when_it_is_not(
    bao: BaoServer, nats_server: NatsServer, events: object, tmp_path: Path
) -> None:
    with VaultedPolicy(tmp_path, nats_server.url, bao) as policy:
        await policy.serving()
        await policy.register()
        await policy.session(await policy.secret())
        bao.seal()
        revoke = pb.RevokeAgentRequest(request_id="r", agent_id="sre-1", kind="operator")
        receipt = (await policy.call("RevokeAgent", revoke)).receipt
        assert [each for each in receipt.silent if each.endswith(":vault")]
        assert not [each for each in receipt.lost if each.surface == "vault"]
        assert (await policy.call("GetAgent", pb.GetAgentRequest(agent_id="sre-1"))).agent.state == (
            pb.AGENT_STATE_REVOKED
        )
        policy.kill()
    with VaultedPolicy(tmp_path, nats_server.url, bao) as policy:
        await until(lambda: "sealed" in health(policy.port)[1], "health says that Vault is sealed")
        bao.unseal()
        assert len(accessors(bao)) == 1
        await until(lambda: not accessors(bao), "its token is taken away after all")


async def test_the_demoted_and_the_suspended_have_in_vault_what_they_may(
    bao: BaoServer, nats_server: NatsServer, events: object, tmp_path: Path
) -> None:
    def may(made: pb.CreateSecretResponse) -> list[str]:
        shown = {"role_id": made.role_id, "secret_id": made.secret_id}
        given = bao.ask("POST", "auth/agents/login", shown, token="")["auth"]
        return [str(each) for each in given["policies"]]

    people: dict[str, Any] = {"actor": "key:root", "roles": ("admin",)}
    with VaultedPolicy(tmp_path, nats_server.url, bao) as policy:
        await policy.serving()
        await policy.register()
        made = await policy.secret()
        await policy.session(made)
        assert may(made) == ["t0-observer", "t1-operator"]
        demote = pb.DemoteAgentRequest(request_id="d", agent_id="sre-1", to_tier=pb.TIER_T0_OBSERVER)
        await policy.call("DemoteAgent", demote, **people)
        await until(lambda: may(made) == ["t0-observer"], "its role is the tier's")
        bao.seal()
        await until(lambda: "sealed" in health(policy.port)[1], "health says that Vault is sealed")
        suspend = pb.SuspendAgentRequest(request_id="s", agent_id="sre-1", why="to look")
        await policy.call("SuspendAgent", suspend, **people)
        policy.kill()
    with VaultedPolicy(tmp_path, nats_server.url, bao) as policy:
        await until(lambda: "sealed" in health(policy.port)[1], "health says that Vault is sealed")
        bao.unseal()
        await until(lambda: may(made) == [], "its role gives nothing")


async def test_no_secret_is_in_an_event_a_log_or_an_error(
    bao: BaoServer, nats_server: NatsServer, events: Any, tmp_path: Path
) -> None:
    with VaultedPolicy(tmp_path, nats_server.url, bao) as policy:
        await policy.serving()
        await policy.register()
        made, wrapped = await policy.secret(), await policy.secret(wrap_seconds=600)
        unwrap = pb.UnwrapSecretRequest(request_id="u", wrapping_token=wrapped.wrapping_token)
        unwrapped = await policy.call("UnwrapSecret", unwrap, **AGENT)
        opened = await policy.session(unwrapped)
        said = []
        wrong = pb.CreateSecretResponse(role_id=made.role_id, secret_id=made.secret_id + "x")
        for asked in (policy.session(wrong), policy.call("UnwrapSecret", unwrap, **AGENT)):
            with pytest.raises(Fault) as refused:
                await asked
            said.append(repr((refused.value, refused.value.facts)))
        bao.seal()
        with pytest.raises(Unavailable) as sealed:
            await policy.session(made)
        said.append(repr((sealed.value, sealed.value.facts)))
        said.append(policy.log.read_text())
    connection = await connect(nats_server.url, name="tests")
    feed = await JetStreamLog(connection, CODEC, "tests").open(("evt.>",), 0, None)
    events_said = b"".join(
        each.payload + repr(dict(each.headers)).encode() for each in (await feed.next()).events
    )
    await connection.close()
    assert b"sre-1" in events_said
    everything = events_said + "".join(said).encode()
    services = [file.read_text() for file in bao.roles.glob("*.secret-id")]
    for canary in (
        made.secret_id, wrapped.wrapping_token, wrapped.wrapping_token.split(".", 2)[2], unwrapped.secret_id,
        opened.session_token, KEY, bao.root_file.read_text(), *services,
    ):  # fmt: skip
        assert canary.encode() not in everything
