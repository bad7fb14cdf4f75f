"""What every identity promises, through the use cases that stand on it."""

import asyncio
import urllib.error
from datetime import timedelta

import pytest

from kernel.faults import Fault, Invalid, Refused, Unavailable
from services.policy.domain.agent import REMEMBERED_SESSIONS
from services.policy.domain.faults import (
    AgentIsRevoked,
    AgentUnknown,
    CredentialsRefused,
    DeciderStale,
    WrappingTokenInvalid,
)
from services.policy.domain.tier import Tier
from tests.contract.policy.desk import TTL_SECONDS, Desk
from tests.fakes.bao_server import BaoServer


@pytest.mark.parametrize("tier", [each for each in Tier if each is not Tier.T4_ARCHITECT])
async def test_a_secret_opens_a_session_as_long_as_the_tier_says(desk: Desk, tier: Tier) -> None:
    agent_id = await desk.register(tier)
    made = await desk.sessions.create_secret(agent_id, desk.cause())
    cause = desk.cause()
    opened = await desk.sessions.create_session(made.role_id, made.secret_id, cause)
    assert (opened.agent_id, opened.tier) == (agent_id, tier)
    assert opened.expire_time - cause.at == timedelta(seconds=TTL_SECONDS[tier])


async def test_wrong_credentials_are_refused_alike(desk: Desk) -> None:
    agent_id, other = await desk.register(), await desk.register()
    made = await desk.sessions.create_secret(agent_id, desk.cause())
    others = await desk.sessions.create_secret(other, desk.cause())
    wrapped = await desk.sessions.wrap_secret(agent_id, 60, desk.cause())
    said = set()
    for role_id, secret_id in (
        (made.role_id, "wrong"), (made.role_id, ""), (made.role_id, others.secret_id),
        (made.role_id, made.secret_id[:-1]), (made.role_id, wrapped.token), (made.role_id, "x" * 5000),
        (made.role_id, "x" * 100_000),
        (f"{agent_id}.wrong", made.secret_id), (agent_id, made.secret_id), ("nobody.x", made.secret_id),
        ("nobody.x", ""), ("", ""), ("../x", "y"), (made.role_id.lower(), made.secret_id), (made.role_id, "\0"),
    ):  # fmt: skip
        with pytest.raises(CredentialsRefused) as refused:
            await desk.sessions.create_session(role_id, secret_id, desk.cause())
        said.add(refused.value.text)
    assert len(said) == 1
    assert desk.agent(agent_id).sessions == ()


async def test_however_often_somebody_guesses_the_right_secret_opens_a_session(desk: Desk) -> None:
    """Whoever knows an agent's name can work its role id out, and needs no key to show it."""
    agent_id = await desk.register()
    made = await desk.sessions.create_secret(agent_id, desk.cause())
    for _ in range(6):
        with pytest.raises(CredentialsRefused):
            await desk.session(agent_id, "a guess")
    assert (await desk.session(agent_id, made.secret_id)).token


async def test_two_secrets_are_good_and_a_third_ends_the_first(desk: Desk) -> None:
    agent_id = await desk.register()
    made = [await desk.sessions.create_secret(agent_id, desk.cause("same")) for _ in range(3)]
    assert len({each.secret_id for each in made}) == 3
    for good in made[1:]:
        assert (await desk.session(agent_id, good.secret_id)).token
    with pytest.raises(CredentialsRefused):
        await desk.session(agent_id, made[0].secret_id)


async def test_the_same_request_opens_one_session(desk: Desk) -> None:
    agent_id = await desk.register()
    made = await desk.sessions.create_secret(agent_id, desk.cause())
    first, again = [await desk.session(agent_id, made.secret_id, "one") for _ in range(2)]
    assert (first.expire_time, first.sequence, first.token) == (
        again.expire_time, again.sequence, again.token,
    )  # fmt: skip
    assert len(desk.agent(agent_id).sessions) == 1


async def test_who_is_not_known_gets_no_secret(desk: Desk) -> None:
    with pytest.raises(AgentUnknown):
        await desk.sessions.create_secret("nobody", desk.cause())
    with pytest.raises(AgentUnknown):
        await desk.sessions.wrap_secret("nobody", 60, desk.cause())


async def test_a_wrapping_token_gives_one_secret_once(desk: Desk) -> None:
    agent_id = await desk.register()
    wrapped = await desk.sessions.wrap_secret(agent_id, 60, desk.cause())
    made = await desk.sessions.unwrap_secret(wrapped.token, desk.cause())
    assert made.role_id == wrapped.role_id
    assert (await desk.session(agent_id, made.secret_id)).agent_id == agent_id
    with pytest.raises(WrappingTokenInvalid):
        await desk.sessions.unwrap_secret(wrapped.token, desk.cause())


async def test_of_those_who_show_it_at_once_one_gets_it(desk: Desk) -> None:
    agent_id = await desk.register()
    wrapped = await desk.sessions.wrap_secret(agent_id, 60, desk.cause())
    tries = [desk.sessions.unwrap_secret(wrapped.token, desk.cause()) for _ in range(5)]
    answers = await asyncio.gather(*tries, return_exceptions=True)
    (got,) = [each for each in answers if not isinstance(each, BaseException)]
    # A Vault that is asked for one token by several at once may fail to answer some of them: they have got nothing.
    others = {each.reason if isinstance(each, Fault) else repr(each) for each in answers if each is not got}
    assert others <= {"WRAPPING_TOKEN_INVALID", "VAULT_UNREACHABLE"}
    assert (await desk.session(agent_id, got.secret_id)).token


async def test_every_wrong_wrapping_token_is_refused_alike(desk: Desk) -> None:
    agent_id, other = await desk.register(), await desk.register()
    elsewhere = Desk(desk.identity, tenant="elsewhere", log=desk.log)
    stranger = await elsewhere.register()
    good = await desk.sessions.wrap_secret(agent_id, 60, desk.cause())
    others = await desk.sessions.wrap_secret(other, 60, desk.cause())
    strange = await elsewhere.sessions.wrap_secret(stranger, 60, elsewhere.cause())
    used = await desk.sessions.wrap_secret(agent_id, 60, desk.cause())
    await desk.sessions.unwrap_secret(used.token, desk.cause())
    old = await desk.sessions.wrap_secret(agent_id, 1, desk.cause())
    plain = await desk.sessions.create_secret(agent_id, desk.cause())
    session = await desk.session(agent_id, plain.secret_id)
    mine, theirs = good.token.split("."), others.token.split(".")
    said = set()
    for wrong in (
        "", ".", "..", "nobody.x.y", "../x", "\0", "x" * 5000, "é" * 40, good.token[:-1], good.token + "x",
        good.token.upper(), f"{other}.{mine[1]}.{'.'.join(mine[2:])}", f"{agent_id}.{theirs[1]}.{mine[2]}",
        f"{agent_id}.{mine[1]}.{'.'.join(theirs[2:])}", f"{agent_id}.{mine[1]}.", ".".join(mine[2:]),
        used.token, strange.token, plain.secret_id, plain.role_id, session.token,
    ):  # fmt: skip
        with pytest.raises(WrappingTokenInvalid) as refused:
            await desk.sessions.unwrap_secret(wrong, desk.cause())
        said.add(str(refused.value))
    desk.ahead = timedelta(seconds=1)
    with pytest.raises(WrappingTokenInvalid) as refused:
        await desk.sessions.unwrap_secret(old.token, desk.cause())
    said.add(str(refused.value))
    assert len(said) == 1
    desk.ahead = timedelta()
    assert (await desk.sessions.unwrap_secret(good.token, desk.cause())).secret_id


async def test_a_replica_that_hears_nothing_leaves_the_wrapping_token_good(desk: Desk) -> None:
    agent_id = await desk.register()
    wrapped = await desk.sessions.wrap_secret(agent_id, 60, desk.cause())
    desk.stale_seconds = 1.1
    with pytest.raises(DeciderStale):
        await desk.sessions.unwrap_secret(wrapped.token, desk.cause())
    desk.stale_seconds = 0.0
    made = await desk.sessions.unwrap_secret(wrapped.token, desk.cause())
    assert (await desk.session(agent_id, made.secret_id)).token


async def test_a_secret_that_could_not_be_noted_is_said_to_be_nobodys(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In Vault the token is used up by then: asked again, it would seem to have been used by somebody else."""
    agent_id = await desk.register()
    wrapped = await desk.sessions.wrap_secret(agent_id, 60, desk.cause())

    async def away(*_: object, **__: object) -> None:
        raise Unavailable("LOG_UNREACHABLE", "away")

    with monkeypatch.context() as broken:
        broken.setattr(desk.log, "append", away)
        with pytest.raises(Fault) as refused:
            await desk.sessions.unwrap_secret(wrapped.token, desk.cause())
    if desk.identity.surface:
        assert isinstance(refused.value, Refused)
        assert refused.value.reason == "WRAPPING_TOKEN_INVALID"
        assert "nobody has it" in refused.value.text
    else:
        assert isinstance(refused.value, Unavailable)
        assert (await desk.sessions.unwrap_secret(wrapped.token, desk.cause())).secret_id


@pytest.mark.parametrize("seconds", [-1, 86_401, 2**31 - 1])
async def test_a_wrapping_is_good_for_a_day_at_most(desk: Desk, seconds: int) -> None:
    agent_id = await desk.register()
    with pytest.raises(Invalid) as refused:
        await desk.sessions.wrap_secret(agent_id, seconds, desk.cause())
    assert (refused.value.reason, refused.value.facts["field"]) == ("FIELD_INVALID", "wrap_seconds")


async def test_the_revoked_get_nothing_more(desk: Desk) -> None:
    agent_id = await desk.register()
    made = await desk.sessions.create_secret(agent_id, desk.cause())
    wrapped = await desk.sessions.wrap_secret(agent_id, 60, desk.cause())
    await desk.session(agent_id, made.secret_id)
    await desk.revoke(agent_id)
    for asked in (
        desk.sessions.create_secret(agent_id, desk.cause()),
        desk.sessions.wrap_secret(agent_id, 60, desk.cause()),
        desk.sessions.unwrap_secret(wrapped.token, desk.cause()),
        desk.session(agent_id, made.secret_id),
    ):
        with pytest.raises(AgentIsRevoked):
            await asked
    tokens = {each.accessor for each in desk.agent(agent_id).sessions} - {""}
    assert await desk.identity.end(desk.tenant, desk.agent(agent_id)) == len(tokens)
    assert await desk.identity.end(desk.tenant, desk.agent(agent_id)) == 0
    with pytest.raises(Fault) as refused:
        await desk.session(agent_id, made.secret_id)
    assert refused.value.reason in {"AGENT_REVOKED", "CREDENTIALS_REFUSED"}


async def test_a_promoted_agent_has_the_new_tier_and_its_ttl_with_the_same_secret(desk: Desk) -> None:
    agent_id = await desk.register(Tier.T2_BUILDER)
    made = await desk.sessions.create_secret(agent_id, desk.cause())
    assert (await desk.session(agent_id, made.secret_id)).tier is Tier.T2_BUILDER
    await desk.promote(agent_id, Tier.T3_EXECUTOR)
    cause = desk.cause()
    opened = await desk.sessions.create_session(made.role_id, made.secret_id, cause)
    assert (opened.tier, opened.expire_time - cause.at) == (Tier.T3_EXECUTOR, timedelta(seconds=900))


async def test_nothing_secret_is_in_an_event_or_printed(
    desk: Desk, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    agent_id = await desk.register()
    made = await desk.sessions.create_secret(agent_id, desk.cause())
    wrapped = await desk.sessions.wrap_secret(agent_id, 60, desk.cause())
    unwrapped = await desk.sessions.unwrap_secret(wrapped.token, desk.cause())
    await desk.session(agent_id, unwrapped.secret_id)
    errors = []
    for asked in (
        desk.session(agent_id, f"{made.secret_id}x"),
        desk.sessions.unwrap_secret(wrapped.token, desk.cause()),
    ):
        with pytest.raises(Fault) as refused:
            await asked
        errors.append(repr((refused.value, refused.value.facts, refused.value.__cause__)))
    shown = "".join([*errors, caplog.text, *capfd.readouterr(), repr((made, wrapped, unwrapped))])
    said = await desk.written() + shown.encode()
    for canary in (made.secret_id, unwrapped.secret_id, wrapped.token, wrapped.token.split(".", 2)[2]):
        assert canary.encode() not in said


async def test_however_many_sessions_no_more_than_are_remembered_have_a_token(desk: Desk) -> None:
    agent_id = await desk.register()
    made = await desk.sessions.create_secret(agent_id, desk.cause())
    for _ in range(REMEMBERED_SESSIONS + 2):
        await desk.session(agent_id, made.secret_id)
    tokens = {each.accessor for each in desk.agent(agent_id).sessions} - {""}
    assert len(tokens) in {0, REMEMBERED_SESSIONS}
    assert await desk.identity.end(desk.tenant, desk.agent(agent_id)) == len(tokens)


async def test_where_the_mount_is_gone_nothing_is_left_to_end(vaulted: Desk, bao_server: BaoServer) -> None:
    agent_id = await vaulted.register()
    made = await vaulted.sessions.create_secret(agent_id, vaulted.cause())
    await vaulted.session(agent_id, made.secret_id)
    bao_server.ask("DELETE", "sys/auth/agents")
    assert await vaulted.identity.end(vaulted.tenant, vaulted.agent(agent_id)) == 0


async def test_a_mount_that_was_made_anew_is_known_by_its_new_name(
    vaulted: Desk, bao_server: BaoServer
) -> None:
    before = await vaulted.register()
    await vaulted.identity.end(vaulted.tenant, vaulted.agent(before))
    bao_server.ask("DELETE", "sys/auth/agents")
    await bao_server.bootstrap()
    agent_id = await vaulted.register()
    made = await vaulted.sessions.create_secret(agent_id, vaulted.cause())
    shown = {"role_id": made.role_id, "secret_id": made.secret_id}
    token = bao_server.ask("POST", "auth/agents/login", shown, token="")["auth"]["client_token"]
    await vaulted.identity.end(vaulted.tenant, vaulted.agent(agent_id))
    with pytest.raises(urllib.error.HTTPError) as refused:
        bao_server.ask("GET", "secret/data/inventory/hosts", token=token)
    assert refused.value.code == 403
