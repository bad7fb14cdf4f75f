"""What the bootstrap makes of an empty OpenBao: who may do what, how long, and that it may be repeated."""

import subprocess
import sys
import urllib.error
from pathlib import Path
from typing import Any

import pytest

from chassis.process import new_id
from chassis.vault.bootstrap import POLICIES
from services.policy.adapters.identity_vault import AppRoleIdentity
from services.policy.domain.agent import Agent, AgentRegistered
from services.policy.domain.tier import Tier
from tests.contract.policy.desk import TTL_SECONDS
from tests.fakes.bao_server import BaoServer
from tests.unit.policy.words import AT

SERVICES = {"actuators", "agents", "gateway", "ledger", "orchestrator", "policy", "state"}


def status(bao: BaoServer, method: str, path: str, token: str, data: dict[str, Any] | None = None) -> int:
    """What OpenBao answers to whoever has `token`."""
    try:
        bao.ask(method, path, data, token=token)
    except urllib.error.HTTPError as refused:
        return refused.code
    return 200


def login(bao: BaoServer, service: str) -> str:
    halves = {half: (bao.roles / f"{service}.{half.replace('_', '-')}").read_text() for half in HALVES}
    return str(bao.ask("POST", "auth/services/login", halves, token="")["auth"]["client_token"])


HALVES = ("role_id", "secret_id")


async def test_it_may_be_repeated(bao_server: BaoServer) -> None:
    await bao_server.bootstrap()
    before = {file.name: file.read_text() for file in bao_server.roles.iterdir()}
    assert before.keys() == {f"{name}.{half}" for name in SERVICES for half in ("role-id", "secret-id")}
    assert all(file.stat().st_mode & 0o077 == 0 for file in bao_server.roles.iterdir())
    key = bao_server.ask("GET", "secret/data/services/internal")["data"]["data"]["key"]
    bao_server.ask("PUT", "sys/policies/acl/t0-observer", {"policy": 'path "*" { capabilities = ["sudo"] }'})
    (bao_server.roles / "state.secret-id").write_text("not good any more")

    await bao_server.bootstrap({"services/internal": {"key": "another"}})

    after = {file.name: file.read_text() for file in bao_server.roles.iterdir()}
    assert {name for name in after if after[name] != before[name]} == {"state.secret-id"}
    assert bao_server.ask("GET", "secret/data/services/internal")["data"]["data"]["key"] == key
    written = bao_server.ask("GET", "sys/policies/acl/t0-observer")["data"]["policy"]
    assert written == (POLICIES / "t0-observer.hcl").read_text()
    assert login(bao_server, "state")


def test_the_command_does_it(bao_server: BaoServer, tmp_path: Path) -> None:
    nats = tmp_path / "nats"
    nats.write_text("nats://provost:hush@nats:4222\n")
    command = [sys.executable, "-m", "chassis.vault", "--token-file", str(bao_server.root_file)]
    command += ["--roles", str(tmp_path / "roles"), "--nats-url-file", str(nats)]
    environment = {"VAULT_URL": bao_server.url, "PROVOST_HOME": str(tmp_path)}
    for _ in range(2):
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert "is ready for Provost" in done.stdout
        assert "hush" not in done.stdout
    assert {file.name.split(".")[0] for file in (tmp_path / "roles").iterdir()} == SERVICES
    kept = bao_server.ask("GET", "secret/data/services/nats")["data"]["data"]
    assert kept == {"url": "nats://provost:hush@nats:4222"}
    bao_server.ask("DELETE", "secret/metadata/services/nats")
    (tmp_path / "wrong").write_text("s.wrong")
    command[4] = str(tmp_path / "wrong")
    refused = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert refused.returncode == 1
    assert "s.wrong" not in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


# What each tier may besides the one below: method, path, what is sent.
MORE: dict[Tier, list[tuple[str, str, Any]]] = {
    Tier.T0_OBSERVER: [
        ("GET", "secret/data/inventory/hosts", None),
        ("POST", "secret/data/plans/one", {"data": {"step": "look"}}),
    ],
    Tier.T1_OPERATOR: [("GET", "secret/data/sandbox/ssh/key", None)],
    Tier.T2_BUILDER: [("POST", "secret/data/modules/one", {"data": {"a": "b"}})],
    Tier.T3_EXECUTOR: [("GET", "secret/data/production/read/db", None)],
    Tier.T4_ARCHITECT: [("GET", "sys/policies/acl/t0-observer", None)],
}
NOBODY = [
    ("GET", "secret/data/services/internal", None),
    ("GET", "secret/data/production/write/db", None),
    ("POST", "secret/data/inventory/hosts", {"data": {"host": "evil"}}),
    ("PUT", "sys/policies/acl/t4-architect", {"policy": ""}),
    ("POST", "auth/token/create", {}),
    ("LIST", "auth/agents/role", None),
]


@pytest.mark.parametrize("tier", list(Tier))
async def test_a_tiers_token_may_what_its_tier_may_as_long_as_it_says(
    bao_server: BaoServer, tier: Tier
) -> None:
    await bao_server.bootstrap()
    for path in ("inventory/hosts", "sandbox/ssh/key", "production/read/db", "production/write/db"):
        bao_server.ask("POST", f"secret/data/{path}", {"data": {"made": "for the test"}})
    vault = bao_server.as_service("policy")
    await vault.start()
    try:
        agent = agent_of(tier)
        identity = AppRoleIdentity(vault)
        made = await identity.new_secret("default", agent)
        shown = await identity.shown("default", agent, made.secret_id, TTL_SECONDS[tier])
        given = bao_server.ask("POST", "auth/token/lookup-accessor", {"accessor": shown.accessor})["data"]
        assert (given["type"], given["creation_ttl"]) == ("service", TTL_SECONDS[tier])
        credentials = {"role_id": agent.role_id, "secret_id": made.secret_id}
        token = bao_server.ask("POST", "auth/agents/login", credentials, token="")["auth"]["client_token"]
        tiers = list(Tier)
        for each in tiers:
            expected = 200 if tiers.index(each) <= tiers.index(tier) else 403
            for method, path, data in MORE[each]:
                assert status(bao_server, method, path, token, data) == expected, (each, path)
        for method, path, data in NOBODY:
            assert status(bao_server, method, path, token, data) == 403, path
        await identity.end("default", agent)
        assert status(bao_server, "GET", "secret/data/inventory/hosts", token) == 403
    finally:
        await vault.stop()


def agent_of(tier: Tier) -> Agent:
    """One that OpenBao has not seen: who was ended there is known for good."""
    registered = AgentRegistered("sre-1", tier, "1.0", f"sre-1.{new_id()}", AT)
    return Agent("sre-1", tier, "1.0", registered.role_id, registered=registered)


async def test_policy_cannot_raise_itself_or_an_agent_past_the_tiers(bao_server: BaoServer) -> None:
    await bao_server.bootstrap()
    token = login(bao_server, "policy")
    role = "auth/agents/role/agent.default.mine.1"
    fine = {"token_policies": "t0-observer", "token_type": "service", "token_no_default_policy": True}
    assert status(bao_server, "POST", role, token, fine) == 200
    for more in (
        {"token_policies": "service-policy"},
        {"token_policies": "root"},
        {"token_policies": ["t0-observer", "service-policy"]},
        {"token_policies": "t0-observer,service-policy"},
        {"token_type": "batch"},
        {"token_no_default_policy": False},
        {"token_period": 86400},
        {"policies": "service-policy"},
    ):
        assert status(bao_server, "POST", role, token, {**fine, **more}) == 403, more
    for method, path in (
        ("GET", "auth/services/role/policy/role-id"),
        ("POST", "auth/services/role/gateway/secret-id"),
        ("GET", "secret/data/services/dragonfly"),
        ("GET", "secret/data/plans/one"),
    ):
        assert status(bao_server, method, path, token, {} if method == "POST" else None) == 403, path
    bao_server.ask("DELETE", role)


@pytest.mark.parametrize("service", sorted(SERVICES - {"policy"}))
async def test_a_service_takes_its_own_and_knows_nothing_of_agents(
    bao_server: BaoServer, service: str
) -> None:
    await bao_server.bootstrap()
    bao_server.ask("POST", "secret/data/services/dragonfly", {"data": {"password": "hush"}})
    token = login(bao_server, service)
    assert status(bao_server, "GET", "secret/data/services/internal", token) == 200
    store = 200 if service in {"state", "gateway"} else 403
    assert status(bao_server, "GET", "secret/data/services/dragonfly", token) == store
    for method, path in (
        ("POST", "secret/data/services/internal"),
        ("POST", "auth/agents/role/agent.default.x.1"),
        ("POST", "auth/token/revoke-accessor"),
        ("PUT", "sys/seal"),
    ):
        assert status(bao_server, method, path, token, {}) == 403, path
