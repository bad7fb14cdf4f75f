"""Agents over gRPC: secrets, session tokens, and who is refused with which of them."""

import base64
import json
from datetime import UTC, timedelta
from typing import Any

import pytest

from chassis import process
from kernel.faults import Conflict, Denied, Invalid, NotFound, Refused, Unauthenticated
from provost.policy.v1 import policy_pb2 as pb
from services.policy.domain.crew import CREW
from services.policy.rpc.roles import ROLES
from tests.rpc.policy.conftest import Clock, Running, action, context

AGENT: dict[str, Any] = {"actor": "key:edge", "roles": ("operator",)}


async def session(running: Running, agent_id: str = "sre-1", **who: Any) -> pb.CreateSessionResponse:
    made = await running.call("CreateSecret", pb.CreateSecretRequest(agent_id=agent_id), **who)
    request = pb.CreateSessionRequest(role_id=made.role_id, secret_id=made.secret_id)
    opened: pb.CreateSessionResponse = await running.call("CreateSession", request, **{**AGENT, **who})
    return opened


async def authorize(running: Running, token: str, agent_id: str = "sre-1", **who: Any) -> pb.Decision:
    request = pb.AuthorizeRequest(session_token=token, context=context(agent_id), action=action())
    decision: pb.Decision = (await running.call("Authorize", request, **{**AGENT, **who})).decision
    return decision


@pytest.mark.parametrize(
    ("tier", "seconds"),
    [(pb.TIER_T0_OBSERVER, 3600), (pb.TIER_T1_OPERATOR, 1800), (pb.TIER_T4_ARCHITECT, 900)],
)
async def test_a_session_lives_as_long_as_its_tier_says(running: Running, tier: int, seconds: int) -> None:
    await running.register(tier=tier)
    opened = await session(running)
    claims = json.loads(base64.urlsafe_b64decode(opened.session_token.split(".")[1] + "=="))
    assert claims["exp"] - claims["iat"] == seconds
    assert (claims["aud"], claims["tenant"], claims["agent_id"]) == ("provost", "default", "sre-1")
    assert claims["tier"] == pb.Tier.Name(tier).removeprefix("TIER_")  # type: ignore[arg-type]
    assert int(opened.expire_time.ToDatetime(tzinfo=UTC).timestamp()) == claims["exp"]


async def test_an_agent_with_its_token_is_answered(running: Running) -> None:
    await running.register()
    await running.packet()
    opened = await session(running)
    assert (await authorize(running, opened.session_token)).verdict == pb.VERDICT_ALLOW


async def test_a_session_needs_the_secret_and_no_role(running: Running) -> None:
    await running.register()
    made = await running.call("CreateSecret", pb.CreateSecretRequest(agent_id="sre-1"))
    request = pb.CreateSessionRequest(role_id=made.role_id, secret_id=made.secret_id)
    assert (await running.call("CreateSession", request, actor="key:nobody", roles=())).session_token


async def test_the_same_session_request_opens_one_session(running: Running) -> None:
    await running.register()
    made = await running.call("CreateSecret", pb.CreateSecretRequest(agent_id="sre-1"))
    request = pb.CreateSessionRequest(request_id="one", role_id=made.role_id, secret_id=made.secret_id)
    first, again = await running.call("CreateSession", request), await running.call("CreateSession", request)
    assert (first.expire_time, first.sequence) == (again.expire_time, again.sequence)


async def test_a_retried_secret_is_another_one_and_both_open(running: Running) -> None:
    await running.register()
    request = pb.CreateSecretRequest(request_id="one", agent_id="sre-1")
    first, second = await running.call("CreateSecret", request), await running.call("CreateSecret", request)
    assert first.secret_id != second.secret_id
    for made in (first, second):
        request_ = pb.CreateSessionRequest(role_id=made.role_id, secret_id=made.secret_id)
        assert (await running.call("CreateSession", request_)).session_token


async def test_a_wrapped_secret_is_shown_once_to_whoever_has_the_token(running: Running) -> None:
    await running.register()
    made = await running.call("CreateSecret", pb.CreateSecretRequest(agent_id="sre-1", wrap_seconds=60))
    assert (made.secret_id, bool(made.wrapping_token)) == ("", True)
    left = made.wrapping_expire_time.ToDatetime(tzinfo=UTC) - process.now()
    assert timedelta(seconds=50) < left <= timedelta(seconds=60)
    unwrap = pb.UnwrapSecretRequest(wrapping_token=made.wrapping_token)
    shown = await running.call("UnwrapSecret", unwrap, actor="key:nobody", roles=())
    assert shown.role_id == made.role_id
    request = pb.CreateSessionRequest(role_id=shown.role_id, secret_id=shown.secret_id)
    assert (await running.call("CreateSession", request, **AGENT)).session_token
    for again in (made.wrapping_token, "", "sre-1.x.y"):
        with pytest.raises(Unauthenticated) as refused:
            await running.call("UnwrapSecret", pb.UnwrapSecretRequest(wrapping_token=again), **AGENT)
        assert refused.value.reason == "WRAPPING_TOKEN_INVALID"
    for seconds in (-1, 86_401):
        asked = pb.CreateSecretRequest(agent_id="sre-1", wrap_seconds=seconds)
        with pytest.raises(Invalid) as wrong:
            await running.call("CreateSecret", asked)
        assert wrong.value.reason == "FIELD_INVALID"


async def test_wrong_credentials_are_refused_alike(running: Running) -> None:
    await running.register()
    made = await running.call("CreateSecret", pb.CreateSecretRequest(agent_id="sre-1"))
    texts = set()
    for role_id, secret_id in (
        (made.role_id, "wrong"), ("sre-1.wrong", made.secret_id), ("nobody.x", "wrong"), ("", ""), ("../x", "y"),
    ):  # fmt: skip
        with pytest.raises(Unauthenticated) as refused:
            await running.call("CreateSession", pb.CreateSessionRequest(role_id=role_id, secret_id=secret_id))
        assert refused.value.reason == "CREDENTIALS_REFUSED"
        texts.add(refused.value.text)
    assert len(texts) == 1


async def test_no_secret_and_no_token_is_in_an_event(running: Running) -> None:
    await running.register()
    made = await running.call("CreateSecret", pb.CreateSecretRequest(agent_id="sre-1"))
    opened = await running.call(
        "CreateSession", pb.CreateSessionRequest(role_id=made.role_id, secret_id=made.secret_id)
    )
    feed = await running.log.open(("evt.>",), 0, None)
    written = b"".join(
        each.payload + repr(dict(each.headers)).encode() for each in (await feed.next()).events
    )
    assert made.secret_id.encode() not in written
    assert opened.session_token.encode() not in written


async def refused_with(running: Running, token: str, reason: str, **fields: Any) -> None:
    before = len(await running.decisions(fields.get("tenant", "default")))
    with pytest.raises(Unauthenticated) as refused:
        await authorize(running, token, **fields)
    assert refused.value.reason == reason
    record = (await running.decisions(fields.get("tenant", "default")))[-1]
    assert len(await running.decisions(fields.get("tenant", "default"))) == before + 1
    assert (record.verdict, record.reason) == (pb.VERDICT_DENY, reason)


async def test_bad_tokens_are_refused_and_recorded(running: Running) -> None:
    for agent_id in ("sre-1", "sre-2"):
        await running.register(agent_id)
        await running.packet(agent_id)
    token = (await session(running)).session_token
    head, payload, signature = token.split(".")
    none = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').rstrip(b"=").decode()
    for forged in (
        f"{none}.{payload}.",
        f"{none}.{payload}.{signature}",
        f"{head}.{payload}.{'A' * len(signature)}",
        f"{head}.{payload[:-4]}AAAA.{signature}",
        "x" * 9000,
        "a.b.c",
    ):
        await refused_with(running, forged, "TOKEN_INVALID")
    await refused_with(running, token, "TOKEN_INVALID", agent_id="sre-2")
    permit = (await authorize(running, token)).permit
    await refused_with(running, permit, "TOKEN_INVALID")
    await running.register(tenant="other")
    await refused_with(running, token, "TENANT_MISMATCH", tenant="other")


async def test_an_expired_token_is_refused(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    from chassis import process

    await running.register()
    token = (await session(running)).session_token
    real = process.now
    monkeypatch.setattr(process, "now", lambda: real() + timedelta(seconds=1801))
    await refused_with(running, token, "TOKEN_EXPIRED")


async def test_a_revoked_agents_token_and_secret_open_nothing_more(running: Running) -> None:
    await running.register()
    await running.packet()
    made = await running.call("CreateSecret", pb.CreateSecretRequest(agent_id="sre-1"))
    request = pb.CreateSessionRequest(role_id=made.role_id, secret_id=made.secret_id)
    token = (await running.call("CreateSession", request)).session_token
    assert (await authorize(running, token)).verdict == pb.VERDICT_ALLOW
    await running.call(
        "RevokeAgent", pb.RevokeAgentRequest(agent_id="sre-1", kind="operator", details="enough")
    )
    assert (await authorize(running, token)).reason == "AGENT_REVOKED"
    with pytest.raises(Refused) as refused:
        await running.call("CreateSession", request.__class__(role_id=made.role_id, secret_id=made.secret_id))
    assert refused.value.reason == "AGENT_REVOKED"
    with pytest.raises(Refused):
        await running.call("CreateSecret", pb.CreateSecretRequest(agent_id="sre-1"))
    shown = (await running.call("GetAgent", pb.GetAgentRequest(agent_id="sre-1"))).agent
    assert (shown.state, shown.revoke_reason) == (pb.AGENT_STATE_REVOKED, "operator: enough")
    assert shown.revoked_by == "service:tests"


async def test_registering_and_revoking_can_be_repeated(running: Running) -> None:
    first = await running.register()
    assert await running.register() == first
    with pytest.raises(Conflict) as refused:
        await running.register(tier=pb.TIER_T2_BUILDER)
    assert refused.value.reason == "AGENT_ALREADY_REGISTERED"
    revoke = pb.RevokeAgentRequest(request_id="r", agent_id="sre-1")
    assert await running.call("RevokeAgent", revoke) == await running.call("RevokeAgent", revoke)
    with pytest.raises(Refused) as twice:
        await running.call("RevokeAgent", pb.RevokeAgentRequest(agent_id="sre-1"))
    assert twice.value.reason == "AGENT_ALREADY_REVOKED"
    assert "provost agents receipt sre-1 shows what that took" in twice.value.text
    with pytest.raises(NotFound):
        await running.call("RevokeAgent", pb.RevokeAgentRequest(agent_id="nobody"))


async def test_malformed_registrations(running: Running) -> None:
    for agent_id in ("", "a.b", "a b", "x" * 65, "*"):
        with pytest.raises(Invalid) as refused:
            await running.register(agent_id)
        assert refused.value.reason == "MALFORMED_ID"
    with pytest.raises(Invalid) as unknown:
        await running.register(tier=pb.TIER_UNSPECIFIED)
    assert unknown.value.reason == "UNKNOWN_TIER"


async def test_agents_are_listed_in_pages_by_id_and_tenant(running: Running) -> None:
    for n in (3, 1, 2):
        await running.register(f"sre-{n}")
    await running.register("stranger", tenant="other")
    first = await running.call(
        "ListAgents", pb.ListAgentsRequest(page_size=2), roles=("viewer",), actor="key:v"
    )
    rest = await running.call(
        "ListAgents", pb.ListAgentsRequest(page_size=2, page_token=first.next_page_token)
    )
    assert [agent.agent_id for agent in (*first.agents, *rest.agents)] == ["sre-1", "sre-2", "sre-3"]
    assert rest.next_page_token == ""
    others = await running.call("ListAgents", pb.ListAgentsRequest(), tenant="other")
    assert [agent.agent_id for agent in others.agents] == ["stranger"]
    for agent_id, tenant in (("stranger", "default"), ("sre-1", "other")):
        with pytest.raises(NotFound):
            await running.call("GetAgent", pb.GetAgentRequest(agent_id=agent_id), tenant=tenant)
    with pytest.raises(Invalid):
        await running.call("ListAgents", pb.ListAgentsRequest(page_size=-1))
    with pytest.raises(Invalid) as refused:
        await running.call("ListAgents", pb.ListAgentsRequest(page_token="sre-0"))
    assert refused.value.reason == "PAGE_TOKEN_INVALID"


@pytest.mark.parametrize(
    ("method", "request_", "roles"),
    [
        (
            "RegisterAgent",
            pb.RegisterAgentRequest(agent_id="x", tier=pb.TIER_T3_EXECUTOR),
            ("operator", "approver"),
        ),
        ("CreateSecret", pb.CreateSecretRequest(agent_id="sre-1"), ("operator", "auditor")),
        ("RevokeAgent", pb.RevokeAgentRequest(agent_id="sre-1"), ("viewer", "auditor")),
        ("PublishPolicySet", pb.PublishPolicySetRequest(document="x"), ("operator", "approver")),
        ("RequestApproval", pb.RequestApprovalRequest(), ("operator", "admin")),
        ("AnswerApproval", pb.AnswerApprovalRequest(), ("operator", "service")),
        ("GetAgent", pb.GetAgentRequest(agent_id="sre-1"), ("nothing",)),
    ],
)
async def test_who_may_not(running: Running, method: str, request_: Any, roles: tuple[str, ...]) -> None:
    await running.register()
    for role in roles:
        with pytest.raises(Denied) as refused:
            await running.call(method, request_, actor="key:x", roles=(role,))
        assert refused.value.reason == "ROLE_MISSING"


async def test_the_crew_is_at_home_again_after_a_restart_and_a_promotion(running: Running) -> None:
    for tier in (pb.TIER_T1_OPERATOR, pb.TIER_T2_BUILDER):
        registered = await running.register(actor=CREW)
        assert (registered.tier, registered.registered_by) == (tier, CREW)
        assert (await session(running, actor=CREW)).session_token
        up = pb.PromoteAgentRequest(agent_id="sre-1", to_tier=pb.TIER_T2_BUILDER)
        await running.call("PromoteAgent", up, actor="key:root", roles=("admin",))


async def test_the_crew_becomes_no_agent_of_others(running: Running) -> None:
    for agent_id, tier in (("own", pb.TIER_T2_BUILDER), ("victim", pb.TIER_T3_EXECUTOR)):
        with pytest.raises(Denied, match="T1_OPERATOR at most") as above:
            await running.register(agent_id, tier, actor=CREW)
        assert above.value.reason == "CALLER_NOT_ALLOWED"
    for tier in (pb.TIER_T1_OPERATOR, pb.TIER_T3_EXECUTOR):
        victim = f"victim-{tier}"
        await running.register(victim, tier, actor="key:root", roles=("admin",))
        for seconds in (0, 60):
            asked = pb.CreateSecretRequest(agent_id=victim, wrap_seconds=seconds)
            with pytest.raises(Denied, match="was not registered by the built-in crew") as not_own:
                await running.call("CreateSecret", asked, actor=CREW)
            assert not_own.value.reason == "CALLER_NOT_ALLOWED"
        held = running.policy.agents._agents.current("default", victim)
        assert (held.secret_hashes, held.wrapped) == ((), ())
        assert (await session(running, victim, actor="key:root", roles=("admin",))).session_token


def test_every_method_is_in_the_table() -> None:
    methods = pb.DESCRIPTOR.services_by_name["PolicyService"].methods_by_name
    assert set(ROLES) == set(methods)


async def test_public_keys_are_offered(running: Running, clock: Clock) -> None:
    (key,) = (await running.call("ListSigningKeys", pb.ListSigningKeysRequest())).keys
    assert len(key.public_key) == 32
    assert key.key_id
