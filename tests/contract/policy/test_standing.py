"""Whose standing was lowered has no more in Vault than it may now, also past policy: by showing Vault its secret."""

import urllib.error
from collections.abc import Awaitable
from typing import Any

import pytest

from services.policy.domain.faults import AgentIsSuspended, TierMoved
from services.policy.domain.tier import Tier
from services.policy.handlers.sessions import NewSecret
from services.policy.ports.identity import Shown
from tests.contract.policy.desk import Desk
from tests.fakes.bao_server import BaoServer

SECRET = "secret/data/root/standing"


@pytest.fixture
def bao(bao_server: BaoServer, vaulted: Desk) -> BaoServer:
    bao_server.ask("POST", SECRET, {"data": {"of": "T3"}})
    return bao_server


def login(bao: BaoServer, made: NewSecret) -> dict[str, Any]:
    shown = {"role_id": made.role_id, "secret_id": made.secret_id}
    given: dict[str, Any] = bao.ask("POST", "auth/agents/login", shown, token="")["auth"]
    return given


def reads(bao: BaoServer, given: dict[str, Any]) -> bool:
    try:
        bao.ask("GET", SECRET, token=given["client_token"])
    except urllib.error.HTTPError as refused:
        if refused.code != 403:
            raise
        return False
    return True


async def executor(desk: Desk) -> tuple[str, NewSecret]:
    agent_id = await desk.register(Tier.T3_EXECUTOR)
    made = await desk.sessions.create_secret(agent_id, desk.cause())
    await desk.session(agent_id, made.secret_id)
    return agent_id, made


async def test_the_demoted_keep_nothing_of_the_tier_they_had(vaulted: Desk, bao: BaoServer) -> None:
    agent_id, made = await executor(vaulted)
    own = login(bao, made)
    assert reads(bao, own)
    await vaulted.demote(agent_id, Tier.T2_BUILDER)
    vaulted.endings.owe(vaulted.tenant, agent_id)
    assert await vaulted.endings.settle() == 0
    assert not reads(bao, own)
    again = login(bao, made)
    assert again["token_policies"] == ["t0-observer", "t1-operator", "t2-builder"]
    assert not reads(bao, again)
    assert (await vaulted.session(agent_id, made.secret_id)).tier is Tier.T2_BUILDER


async def test_the_suspended_may_nothing_until_they_are_resumed(vaulted: Desk, bao: BaoServer) -> None:
    agent_id, made = await executor(vaulted)
    own = login(bao, made)
    await vaulted.suspend(agent_id)
    vaulted.endings.owe(vaulted.tenant, agent_id)
    assert await vaulted.endings.settle() == 0
    assert not reads(bao, own)
    with pytest.raises(AgentIsSuspended):
        await vaulted.session(agent_id, made.secret_id)
    given = login(bao, made)
    assert given["policies"] == []
    assert not reads(bao, given)
    await vaulted.resume(agent_id)
    assert (await vaulted.session(agent_id, made.secret_id)).tier is Tier.T3_EXECUTOR
    assert reads(bao, login(bao, made))


async def test_a_start_finds_whose_standing_was_lowered(vaulted: Desk, bao: BaoServer) -> None:
    demoted, demoted_secret = await executor(vaulted)
    suspended, suspended_secret = await executor(vaulted)
    await vaulted.demote(demoted, Tier.T2_BUILDER)
    await vaulted.suspend(suspended)
    vaulted.endings.remember()
    assert await vaulted.endings.settle() == 0
    assert "t3-executor" not in login(bao, demoted_secret)["policies"]
    assert login(bao, suspended_secret)["policies"] == []


async def test_a_login_that_was_under_way_gives_nothing_back(
    vaulted: Desk, bao: BaoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent_id, made = await executor(vaulted)
    shown = vaulted.identity.shown

    async def overtaken(*told: Any) -> Shown:
        await vaulted.demote(agent_id, Tier.T2_BUILDER)
        vaulted.endings.owe(vaulted.tenant, agent_id)
        assert await vaulted.endings.settle() == 0
        answer: Awaitable[Shown] = shown(*told)
        return await answer

    monkeypatch.setattr(vaulted.identity, "shown", overtaken)
    with pytest.raises(TierMoved):
        await vaulted.session(agent_id, made.secret_id)
    assert "t3-executor" in login(bao, made)["policies"]
    assert await vaulted.endings.settle() == 0
    assert "t3-executor" not in login(bao, made)["policies"]


async def test_lowering_makes_no_role_and_may_be_repeated(desk: Desk) -> None:
    agent_id = await desk.register()
    for _ in range(2):
        await desk.identity.lower(desk.tenant, desk.agent(agent_id))
    made = await desk.sessions.create_secret(agent_id, desk.cause())
    assert (await desk.session(agent_id, made.secret_id)).token
    await desk.demote(agent_id, Tier.T0_OBSERVER)
    for _ in range(2):
        await desk.identity.lower(desk.tenant, desk.agent(agent_id))
    assert (await desk.session(agent_id, made.secret_id)).tier is Tier.T0_OBSERVER
