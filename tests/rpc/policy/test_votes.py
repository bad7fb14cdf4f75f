"""Votes over gRPC: as many people as the rule in force asks for, whoever they are, and whatever the caller says."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from kernel.faults import Denied, Fault, Invalid, Refused
from provost.policy.v1 import policy_pb2 as pb
from tests.rpc.policy.conftest import Clock, Running, action, context
from tests.rpc.policy.test_approvals import decided, published, requested

RULES = """
approvals:
  - {id: sandbox, environments: [sandbox], needs: 2, approvers: ["key:ann", "key:bob", "key:cec"], ttl_seconds: 600}
"""


async def in_force(running: Running, rules: str = RULES, version: str = "2") -> None:
    """The built-in set with other approval rules, or none."""
    shown = await running.call("GetPolicySet", pb.GetPolicySetRequest())
    document = shown.document.partition("\napprovals:")[0].partition("\n# Whatever the mode")[0]
    changed = document.replace('version: "1"', f'version: "{version}"') + rules
    if shown.version != "1":
        changed = changed.replace(f'version: "{shown.version}"', f'version: "{version}"')
    assert await published(running, changed, shown.version) == version


async def votes(
    running: Running, approval_id: str, by: str, vote: int = pb.VOTE_APPROVE, **who: Any
) -> pb.Approval:
    request = pb.AnswerApprovalRequest(approval_id=approval_id, vote=vote, comment=f"says {by}")  # type: ignore[arg-type]
    who = {"actor": f"key:{by}", "roles": ("approver",)} | who
    approval: pb.Approval = (await running.call("AnswerApproval", request, **who)).approval
    return approval


@pytest.fixture(autouse=True)
async def agent(running: Running) -> None:
    await running.register()
    await running.packet()


async def test_two_of_three(running: Running) -> None:
    await in_force(running)
    asked = await requested(running)
    assert (asked.rule, asked.needed) == ("approval.sandbox", 2)
    assert list(asked.approvers) == ["key:ann", "key:bob", "key:cec"]
    first = await votes(running, asked.approval_id, "ann")
    assert (first.state, first.answered_by) == (pb.APPROVAL_STATE_PENDING, "")
    assert (await votes(running, asked.approval_id, "ann")).votes == first.votes, "one person, one vote"
    assert (await decided(running, asked.approval_id)).reason == "APPROVAL_PENDING"
    with pytest.raises(Denied) as other:
        await votes(running, asked.approval_id, "dan")
    assert other.value.reason == "APPROVER_NOT_NAMED"
    second = await votes(running, asked.approval_id, "cec")
    assert (second.state, second.answered_by) == (pb.APPROVAL_STATE_APPROVED, "key:cec")
    said = [(each.by, each.vote, each.comment) for each in second.votes]
    assert said == [
        ("key:ann", pb.VOTE_APPROVE, "says ann"),
        ("key:cec", pb.VOTE_APPROVE, "says cec"),
    ]
    assert (await decided(running, asked.approval_id)).verdict == pb.VERDICT_ALLOW


async def test_several_rules_are_all_satisfied_before_it_is_approved(running: Running) -> None:
    """Lists that overlap in part: two of the first and two of the second, of whom one is on both."""
    two = (
        RULES
        + '  - {id: second, environments: [sandbox], needs: 2, approvers: ["key:cec", "key:dan", "key:eve"]}\n'
    )
    await in_force(running, two)
    asked = await requested(running)
    assert [(part.needed, len(part.approvers)) for part in asked.parts] == [(2, 3), (2, 3)]
    for name in ("ann", "bob", "dan"):
        assert (await votes(running, asked.approval_id, name)).state == pb.APPROVAL_STATE_PENDING
    assert (await decided(running, asked.approval_id)).reason == "APPROVAL_PENDING"
    last = await votes(running, asked.approval_id, "cec")
    assert last.state == pb.APPROVAL_STATE_APPROVED, "two of each list have said yes"
    assert (await decided(running, asked.approval_id)).verdict == pb.VERDICT_ALLOW


async def test_who_said_yes_may_still_say_no(running: Running) -> None:
    await in_force(running)
    asked = await requested(running)
    await votes(running, asked.approval_id, "ann")
    closed = await votes(running, asked.approval_id, "ann", pb.VOTE_REJECT)
    assert closed.state == pb.APPROVAL_STATE_REJECTED
    with pytest.raises(Refused) as late:
        await votes(running, asked.approval_id, "bob")
    assert late.value.reason == "APPROVAL_CLOSED"
    assert (await decided(running, asked.approval_id)).reason == "APPROVAL_REJECTED"


async def test_what_is_wanted_otherwise_is_no_yes_and_says_what(running: Running) -> None:
    asked = await requested(running)
    back = await votes(running, asked.approval_id, "ann", pb.VOTE_REQUEST_CHANGES)
    assert (back.state, back.comment) == (pb.APPROVAL_STATE_CHANGES_REQUESTED, "says ann")
    refused = await decided(running, asked.approval_id)
    assert (refused.verdict, refused.reason, refused.permit) == (pb.VERDICT_DENY, "CHANGES_REQUESTED", "")
    assert "says ann" in refused.explanation
    sent_back = pb.ListApprovalsRequest(state=pb.APPROVAL_STATE_CHANGES_REQUESTED)
    assert len((await running.call("ListApprovals", sent_back)).approvals) == 1


@pytest.mark.parametrize("comment", ["", "  \n\t"])
async def test_who_wants_it_otherwise_has_to_say_how(running: Running, comment: str) -> None:
    asked = await requested(running)
    wish = pb.AnswerApprovalRequest(
        approval_id=asked.approval_id, vote=pb.VOTE_REQUEST_CHANGES, comment=comment
    )
    with pytest.raises(Invalid) as refused:
        await running.call("AnswerApproval", wish, actor="key:ann", roles=("approver",))
    assert (refused.value.reason, refused.value.facts["field"]) == ("FIELD_MISSING", "comment")
    assert "say what to ask for instead" in refused.value.text
    shown = await running.call("GetApproval", pb.GetApprovalRequest(approval_id=asked.approval_id))
    assert (shown.approval.state, list(shown.approval.votes)) == (pb.APPROVAL_STATE_PENDING, [])
    assert (await votes(running, asked.approval_id, "ann")).state == pb.APPROVAL_STATE_APPROVED


async def test_how_long_it_is_good_is_what_the_rule_says(running: Running, clock: Clock) -> None:
    await in_force(running)
    long = await requested(running, ttl_seconds=3600)
    assert long.expire_time.seconds - long.request_time.seconds == 600
    short = await requested(running, ttl_seconds=60)
    assert short.expire_time.seconds - short.request_time.seconds == 60
    await votes(running, long.approval_id, "ann")
    clock.ahead = timedelta(seconds=601)
    shown = await running.call("GetApproval", pb.GetApprovalRequest(approval_id=long.approval_id))
    assert shown.approval.state == pb.APPROVAL_STATE_EXPIRED, "one yes of two is not enough"


async def test_rules_that_became_stricter_ask_for_more_than_was_given(running: Running) -> None:
    asked = await requested(running)
    assert (asked.rule, asked.needed) == ("mode.assisted", 1)
    assert (await votes(running, asked.approval_id, "ann")).state == pb.APPROVAL_STATE_APPROVED
    await in_force(running)
    refused = await decided(running, asked.approval_id)
    assert (refused.verdict, refused.reason) == (pb.VERDICT_DENY, "DIGEST_MISMATCH")


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"vote": 9}, "vote"),
        ({"vote": pb.VOTE_REJECT, "approve": True}, "approve"),
        ({"vote": pb.VOTE_APPROVE, "comment": "x" * 5000}, "comment"),
    ],
)
async def test_votes_that_are_no_votes(running: Running, fields: dict[str, Any], problem: str) -> None:
    asked = await requested(running)
    with pytest.raises(Invalid) as refused:
        await running.call(
            "AnswerApproval",
            pb.AnswerApprovalRequest(approval_id=asked.approval_id, **fields),
            actor="key:ann",
            roles=("approver",),
        )
    assert refused.value.facts["field"] == problem


async def test_fault_25_nobody_approves_themselves_and_it_is_on_record(running: Running) -> None:
    """The requester, the agent, the agents above it, other agents and programs: each is refused, each is in the log."""
    request = pb.RegisterAgentRequest(agent_id="boss", tier=pb.TIER_T2_BUILDER)
    await running.call("RegisterAgent", request)
    child = pb.RegisterAgentRequest(agent_id="hand", tier=pb.TIER_T1_OPERATOR, parent_agent_id="boss")
    await running.call("RegisterAgent", child)
    await running.packet("hand")
    asked = await requested(running, context=context("hand", pb.MODE_ASSISTED))
    tries = (
        ("key:operator", "SELF_APPROVAL"),
        ("agent:hand", "SELF_APPROVAL"),
        ("agent:boss", "SELF_APPROVAL"),
        ("agent:sre-1", "ROLE_MISSING"),
        ("service:orchestrator", "ROLE_MISSING"),
    )
    for actor, reason in tries:
        with pytest.raises(Fault) as refused:
            await votes(running, asked.approval_id, "", actor=actor, roles=("approver", "admin"))
        assert refused.value.reason == reason
    kept = [each for each in await running.decisions() if each.rule == "approval.voter"]
    assert [(each.reason, each.agent_id, each.approval_id) for each in kept] == [
        (reason, "hand", asked.approval_id) for _, reason in tries
    ]
    assert all(actor in each.explanation for each, (actor, _) in zip(kept, tries, strict=True))
    assert all(each.verdict == pb.VERDICT_DENY for each in kept)
    shown = await running.call("GetApproval", pb.GetApprovalRequest(approval_id=asked.approval_id))
    assert (shown.approval.state, list(shown.approval.votes)) == (pb.APPROVAL_STATE_PENDING, [])


async def test_fault_25_what_was_approved_is_what_is_done_and_once(running: Running) -> None:
    asked = await requested(running)
    await votes(running, asked.approval_id, "ann")
    changed = await decided(running, asked.approval_id, action=action(parameters={"top": "500"}))
    assert (changed.verdict, changed.reason) == (pb.VERDICT_DENY, "DIGEST_MISMATCH")
    assert (await decided(running, asked.approval_id)).verdict == pb.VERDICT_ALLOW
    again = await decided(running, asked.approval_id)
    assert (again.verdict, again.reason) == (pb.VERDICT_DENY, "APPROVAL_USED")
    kept = [each.reason for each in await running.decisions() if each.verdict == pb.VERDICT_DENY]
    assert kept == ["DIGEST_MISMATCH", "APPROVAL_USED"]


async def test_an_approval_of_a_digest_that_was_never_asked(running: Running) -> None:
    for digest in ("sha256:" + "0" * 64, "nonsense"):
        with pytest.raises(Invalid) as refused:
            await requested(running, action_digest=digest)
        assert refused.value.reason == "DIGEST_MISMATCH"
    with pytest.raises(Invalid) as governed:
        await requested(running, action=action("agent.promote", "production"))
    assert governed.value.facts["field"] == "action.name"


async def test_those_who_vote_at_once_are_counted_one_by_one(running: Running) -> None:
    await in_force(running, "\napprovals:\n  - {id: sandbox, needs: 3}\n")
    asked = await requested(running)
    answers = await asyncio.gather(
        *(votes(running, asked.approval_id, f"p{n % 6}") for n in range(12)), return_exceptions=True
    )
    refused = {each.reason for each in answers if isinstance(each, Fault)}
    assert refused <= {"APPROVAL_CLOSED"}
    shown = await running.call("GetApproval", pb.GetApprovalRequest(approval_id=asked.approval_id))
    assert shown.approval.state == pb.APPROVAL_STATE_APPROVED
    assert len(shown.approval.votes) == len({each.by for each in shown.approval.votes}) == 3


SEVERAL = """
approvals:
  - {id: anyone, environments: [sandbox]}
  - {id: two-of-us, actions: [diagnostics.memory], needs: 2, approvers: ["key:ann", "key:bob"], ttl_seconds: 300}
"""


async def test_no_rule_is_less_for_standing_behind_another(running: Running) -> None:
    await in_force(running, SEVERAL.partition("  - {id: two")[0])
    early = await requested(running, action=action(action_id="a9"))
    assert (await votes(running, early.approval_id, "dan")).state == pb.APPROVAL_STATE_APPROVED
    await in_force(running, SEVERAL, "3")
    one_was_enough = await decided(running, early.approval_id, action=action(action_id="a9"))
    assert (one_was_enough.verdict, one_was_enough.reason) == (pb.VERDICT_DENY, "DIGEST_MISMATCH")
    asked = await requested(running)
    assert (asked.rule, asked.needed, list(asked.approvers)) == ("approval.anyone", 2, ["key:ann", "key:bob"])
    assert asked.expire_time.seconds - asked.request_time.seconds == 300
    with pytest.raises(Denied):
        await votes(running, asked.approval_id, "dan")
    assert (await votes(running, asked.approval_id, "ann")).state == pb.APPROVAL_STATE_PENDING
    assert (await votes(running, asked.approval_id, "bob")).state == pb.APPROVAL_STATE_APPROVED
    allowed = await decided(running, asked.approval_id)
    assert (allowed.verdict, allowed.reason) == (pb.VERDICT_ALLOW, "ALLOWED_BY_APPROVAL")
    shown = await decided(running)
    assert [each.to for each in shown.changes] == ["approval.anyone", "approval.two-of-us"]
