"""A replica that has not heard yet what others have written: no no to an approval or an agent, no yes past a label."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message

from kernel.faults import NotFound
from provost.policy.v1 import policy_pb2 as pb
from tests.fakes.behind import behind as replica_behind
from tests.rpc.policy.conftest import Clock, Running, action, context, serving
from tests.rpc.policy.test_approvals import answered, decided, requested
from tests.rpc.policy.test_explain import labelled
from tests.rpc.policy.test_revocation import child, refused


@pytest.fixture(autouse=True)
async def agent(running: Running) -> None:
    await running.register(tier=pb.TIER_T3_EXECUTOR)
    await running.packet()


@pytest.fixture
async def behind(
    running: Running, agent: None, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Running]:
    """Another replica, which is behind."""
    async with serving(running.log, tmp_path / "other", clock) as other:
        await other.follower.reached(await running.log.last_sequence())
        with replica_behind(other.follower, monkeypatch):
            yield other


async def test_it_takes_votes_on_what_was_requested_elsewhere(running: Running, behind: Running) -> None:
    approval = await requested(running)
    voted = await answered(behind, approval.approval_id)
    assert voted.state == pb.APPROVAL_STATE_APPROVED


async def test_it_shows_what_was_requested_elsewhere(running: Running, behind: Running) -> None:
    approval = await requested(running)
    asked = pb.GetApprovalRequest(approval_id=approval.approval_id)
    assert (await behind.call("GetApproval", asked)).approval == approval


async def test_it_decides_by_what_was_approved_elsewhere(running: Running, behind: Running) -> None:
    approval = await requested(running)
    await answered(running, approval.approval_id)
    decision = await decided(behind, approval.approval_id)
    assert (decision.verdict, decision.reason) == (pb.VERDICT_ALLOW, "ALLOWED_BY_APPROVAL")
    assert [each.reason for each in await running.decisions()] == ["ALLOWED_BY_APPROVAL"]


async def test_it_decides_by_what_was_answered_elsewhere(
    running: Running, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the request it has heard, of the answer not yet."""
    approval = await requested(running)
    async with serving(running.log, tmp_path / "other", clock) as other:
        await other.follower.reached(await running.log.last_sequence())
        with replica_behind(other.follower, monkeypatch):
            await answered(running, approval.approval_id)
            decision = await decided(other, approval.approval_id)
    assert (decision.verdict, decision.reason) == (pb.VERDICT_ALLOW, "ALLOWED_BY_APPROVAL")


async def test_what_nobody_requested_is_unknown_all_the_same(running: Running, behind: Running) -> None:
    with pytest.raises(NotFound) as refused:
        await answered(behind, "nothing")
    assert refused.value.reason == "APPROVAL_UNKNOWN"
    assert (await decided(behind, "nothing")).reason == "APPROVAL_UNKNOWN"


async def test_it_knows_what_a_run_was_given_to_read_a_moment_ago(behind: Running) -> None:
    labelled(behind)
    asked = pb.AuthorizeRequest(context=context(mode=pb.MODE_AUTO), action=action("network.block_source"))
    decision = (await behind.call("Authorize", asked)).decision
    assert (decision.verdict, decision.rule) == (pb.VERDICT_DENY, "flow.secrets-stay")
    assert [each.reason for each in await behind.decisions()] == ["FLOW_DENIED"]


async def test_what_no_label_keeps_it_from_is_decided_at_once(behind: Running) -> None:
    labelled(behind)
    asked = pb.AuthorizeRequest(context=context(mode=pb.MODE_AUTO), action=action("service.restart"))
    decision = (await behind.call("Authorize", asked)).decision
    assert (decision.verdict, decision.reason) == (pb.VERDICT_ALLOW, "ALLOWED_BY_TIER")


async def test_it_knows_agents_that_were_registered_elsewhere(running: Running, behind: Running) -> None:
    await running.register("boss", pb.TIER_T2_BUILDER)
    shown = (await behind.call("GetAgent", pb.GetAgentRequest(agent_id="boss"))).agent
    assert shown.tier == pb.TIER_T2_BUILDER


@pytest.mark.parametrize(
    ("method", "request_", "state"),
    [
        ("RevokeAgent", pb.RevokeAgentRequest(agent_id="new"), pb.AGENT_STATE_REVOKED),
        ("SuspendAgent", pb.SuspendAgentRequest(agent_id="new"), pb.AGENT_STATE_SUSPENDED),
        (
            "DemoteAgent",
            pb.DemoteAgentRequest(agent_id="new", to_tier=pb.TIER_T0_OBSERVER),
            pb.AGENT_STATE_ACTIVE,
        ),
    ],
)
async def test_it_takes_power_from_agents_that_were_registered_elsewhere(
    running: Running, behind: Running, method: str, request_: Message, state: int
) -> None:
    await running.register("new")
    answer = await behind.call(method, request_, actor="key:root", roles=("admin",))
    assert answer.agent.state == state


async def test_it_registers_under_a_parent_that_was_registered_elsewhere(
    running: Running, behind: Running
) -> None:
    await running.register("boss", pb.TIER_T2_BUILDER)
    await child(behind, "a", "boss")


async def test_who_was_resumed_elsewhere_is_suspended_again(running: Running, behind: Running) -> None:
    who: Any = {"actor": "key:root", "roles": ("admin",)}
    suspend = pb.SuspendAgentRequest(agent_id="sre-1")
    await running.follower.reached((await behind.call("SuspendAgent", suspend, **who)).sequence)
    await running.call("ResumeAgent", pb.ResumeAgentRequest(agent_id="sre-1"), **who)
    await behind.call("SuspendAgent", pb.SuspendAgentRequest(agent_id="sre-1"), **who)
    assert running.log.recorded()[-1].event_type == "AgentSuspended"


async def test_it_takes_secrets_that_were_made_elsewhere(running: Running, behind: Running) -> None:
    await running.register("new")
    made = await running.call("CreateSecret", pb.CreateSecretRequest(agent_id="new"))
    asked = pb.CreateSessionRequest(role_id=made.role_id, secret_id=made.secret_id)
    assert (await behind.call("CreateSession", asked)).session_token


async def test_it_takes_wrapping_tokens_that_were_made_elsewhere(running: Running, behind: Running) -> None:
    made = await running.call("CreateSecret", pb.CreateSecretRequest(agent_id="sre-1", wrap_seconds=60))
    unwrapped = await behind.call("UnwrapSecret", pb.UnwrapSecretRequest(wrapping_token=made.wrapping_token))
    assert unwrapped.secret_id


async def test_what_nobody_made_is_no_good_all_the_same(behind: Running) -> None:
    for method, asked, reason in (
        ("RevokeAgent", pb.RevokeAgentRequest(agent_id="nobody"), "AGENT_UNKNOWN"),
        ("CreateSession", pb.CreateSessionRequest(role_id="x.y", secret_id="z"), "CREDENTIALS_REFUSED"),
        ("CreateSession", pb.CreateSessionRequest(role_id="sre-1.y", secret_id="z"), "CREDENTIALS_REFUSED"),
        ("UnwrapSecret", pb.UnwrapSecretRequest(wrapping_token="sre-1.a.b"), "WRAPPING_TOKEN_INVALID"),
    ):
        assert await refused(behind.call(method, asked)) == reason
