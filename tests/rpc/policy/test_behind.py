"""A replica that has not heard yet what another has written says no to no approval that is there."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kernel.faults import NotFound
from provost.policy.v1 import policy_pb2 as pb
from tests.fakes.behind import behind as replica_behind
from tests.rpc.policy.conftest import Clock, Running, serving
from tests.rpc.policy.test_approvals import answered, decided, requested


@pytest.fixture(autouse=True)
async def agent(running: Running) -> None:
    await running.register()
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
