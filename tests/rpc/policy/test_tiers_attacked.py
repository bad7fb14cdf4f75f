"""What somebody might try to get a tier, or to keep one."""

from typing import Any

import pytest

from kernel.events import Appended, Stream
from kernel.faults import Refused
from provost.policy.v1 import events_pb2
from provost.policy.v1 import policy_pb2 as pb
from services.policy.domain.standing import AgentPromoted
from tests.rpc.policy.conftest import Running
from tests.rpc.policy.test_tiers import (
    ADMIN,
    T1,
    T2,
    T3,
    T4,
    agent_of,
    move,
    moves,
    run,
    until,
    until_asked,
    violation,
    waiting,
)
from tests.rpc.policy.test_votes import in_force, votes


async def settled(running: Running) -> None:
    await running.policy.trust.settle("default", "sre-1")


async def test_one_row_of_runs_is_good_for_one_tier(running: Running) -> None:
    """By approval or by itself, and even if nobody has heard of the move yet: what was shown below does not count."""
    rules = """
promotions:
  - {id: first, tier: T1_OPERATOR, compliant_in_row: 2}
  - {id: second, tier: T2_BUILDER, compliant_in_row: 2, needs_approval: false}
demotions:
  - {id: back, tier: T3_EXECUTOR, violations: 1}
  - {id: down, tier: T2_BUILDER, violations: 1}
"""
    await in_force(running, rules)
    await running.register()
    for n in range(2):
        await run(running, f"r{n}")
    asked = await until_asked(running)
    await votes(running, asked.approval_id, "ann")
    await until(running, lambda agent: agent.tier == T2)
    await settled(running)
    assert (await agent_of(running)).tier == T2, "one approval, one tier"
    assert len(await moves(running, events_pb2.AgentPromoted)) == 1
    for n in range(2, 4):
        await run(running, f"r{n}")
    await until(running, lambda agent: agent.tier == T3)
    await violation(running, 1)
    await until(running, lambda agent: agent.tier == T2)
    await settled(running)
    assert (await agent_of(running)).tier == T2, "one violation, one tier"
    assert len(await moves(running, events_pb2.AgentDemoted)) == 1


async def test_a_yes_that_is_not_enough_keeps_nobody_from_being_demoted(running: Running) -> None:
    rules = """
demotions:
  - {id: strayed, tier: T3_EXECUTOR, violations: 1}
"""
    await in_force(running, rules)
    await running.register(tier=T3)
    asked = (await move(running, "Promote", T4)).approval
    real: Any = running.log.append

    async def unable(stream: Any, events: Any, **rest: Any) -> Any:
        if isinstance(events[0], AgentPromoted):
            raise Refused("APPROVAL_EXPIRED", "as if it could not be used")
        return await real(stream, events, **rest)

    running.log.append = unable  # type: ignore[method-assign]
    await votes(running, asked.approval_id, "ann")
    with pytest.raises(Refused):
        await settled(running)
    await violation(running, 1)
    await until(running, lambda agent: agent.tier == T2)


async def test_people_approve_of_the_record_they_were_shown(running: Running) -> None:
    await in_force(running, "")
    await running.register(tier=T3)
    asked = (await move(running, "Promote", T4)).approval
    assert dict(asked.action.parameters)["violations"] == "0"
    await violation(running, 1)
    await votes(running, asked.approval_id, "ann")
    with pytest.raises(Refused) as worse:
        await settled(running)
    assert worse.value.reason == "DIGEST_MISMATCH"
    assert (await agent_of(running)).tier == T3
    again = (await move(running, "Promote", T4)).approval
    assert dict(again.action.parameters)["violations"] == "1"
    await votes(running, again.approval_id, "ann")
    await until(running, lambda agent: agent.tier == T4)


async def test_the_suspended_are_not_promoted_before_they_are_resumed(running: Running) -> None:
    await running.register(tier=T3)
    asked = (await move(running, "Promote", T4)).approval
    await running.call("SuspendAgent", pb.SuspendAgentRequest(agent_id="sre-1"), **ADMIN)
    await votes(running, asked.approval_id, "ann")
    await settled(running)
    assert (await agent_of(running)).tier == T3
    await running.call("ResumeAgent", pb.ResumeAgentRequest(agent_id="sre-1"), **ADMIN)
    await until(running, lambda agent: agent.tier == T4)


async def test_people_are_asked_once_at_a_time_and_again_after_each_new_row(running: Running) -> None:
    rules = """
promotions:
  - {id: senior, tier: T2_BUILDER, compliant_in_row: 2}
"""
    await in_force(running, rules)
    await running.register(tier=T2)
    for n in range(5):
        await run(running, f"r{n}")
    await settled(running)
    first = await until_asked(running)
    await votes(running, first.approval_id, "ann", pb.VOTE_REJECT)
    second = await until_asked(running)  # the row is twice as long by now, which waited for the answer
    await votes(running, second.approval_id, "ann", pb.VOTE_REJECT)
    await run(running, "bad", holds=False, compliant=False)
    await settled(running)
    assert await waiting(running) == []
    for n in range(6, 8):
        await run(running, f"r{n}")
    again = await until_asked(running)
    assert again.approval_id not in (first.approval_id, second.approval_id), (
        "a new row is another reason to ask"
    )


async def test_nobody_begins_at_t4(running: Running) -> None:
    at_once = pb.RegisterAgentRequest(agent_id="sre-1", tier=T4)
    with pytest.raises(Refused) as refused:
        await running.call("RegisterAgent", at_once, **ADMIN)
    assert refused.value.reason == "TIER_STEP_TOO_LARGE"
    assert "register 'sre-1' at T3_EXECUTOR" in refused.value.text
    assert (await running.register(tier=T4)).tier == T4


async def test_nobody_is_asked_about_the_revoked(running: Running) -> None:
    await running.register(tier=T3)
    asked = (await move(running, "Promote", T4)).approval
    assert [each.approval_id for each in await waiting(running)] == [asked.approval_id]
    await running.call("RevokeAgent", pb.RevokeAgentRequest(agent_id="sre-1", kind="operator", wait_ms=1))
    assert await waiting(running) == []
    shown = await running.call("GetApproval", pb.GetApprovalRequest(approval_id=asked.approval_id))
    assert shown.approval.state == pb.APPROVAL_STATE_EXPIRED
    with pytest.raises(Refused) as late:
        await votes(running, asked.approval_id, "ann")
    assert late.value.reason == "AGENT_REVOKED"
    assert (await agent_of(running)).tier == T3


async def test_a_child_registered_while_its_parent_is_demoted_does_not_stand_above_it(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    await running.register("boss", T2)
    append = running.log.append

    async def behind_a_demotion(stream: Stream, *written: Any, **how: Any) -> Appended:
        if stream.id == "hand":
            monkeypatch.undo()
            await move(running, "Demote", T1, "boss")
            await running.follower.reached(await running.log.last_sequence())
        return await append(stream, *written, **how)

    monkeypatch.setattr(running.log, "append", behind_a_demotion)
    hand = pb.RegisterAgentRequest(agent_id="hand", tier=T2, parent_agent_id="boss")
    await running.call("RegisterAgent", hand, **ADMIN)
    await until(running, lambda agent: agent.tier == T1, "hand")
    (demoted,) = await moves(running, events_pb2.AgentDemoted, "hand")
    assert demoted.grounds.rule == "parent.tier"
