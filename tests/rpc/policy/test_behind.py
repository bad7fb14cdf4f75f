"""A replica that has not heard yet what others have written: no no to an approval, no yes past a label."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kernel.faults import NotFound
from provost.policy.v1 import policy_pb2 as pb
from tests.fakes.behind import behind as replica_behind
from tests.rpc.policy.conftest import Clock, Running, action, context, serving
from tests.rpc.policy.test_approvals import answered, decided, requested
from tests.rpc.policy.test_explain import labelled


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
