"""Approvals over gRPC: one person, one action, one decision; and policy sets."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kernel.faults import Denied, Fault, Invalid, NotFound, Refused
from provost.policy.v1 import policy_pb2 as pb
from tests.rpc.policy.conftest import Clock, Running, action, context

APPROVER: dict[str, Any] = {"actor": "key:approver", "roles": ("approver",)}
PENDING = pb.ListApprovalsRequest(state=pb.APPROVAL_STATE_PENDING)
ASSISTED = context(mode=pb.MODE_ASSISTED)


async def requested(running: Running, **fields: Any) -> pb.Approval:
    asked: dict[str, Any] = {
        "context": ASSISTED,
        "action": action(),
        "why": "memory is short",
        "requested_by": "key:operator",
    }
    request = pb.RequestApprovalRequest(**(asked | fields))
    approval: pb.Approval = (await running.call("RequestApproval", request)).approval
    return approval


async def answered(running: Running, approval_id: str, approve: bool = True, **who: Any) -> pb.Approval:
    request = pb.AnswerApprovalRequest(approval_id=approval_id, approve=approve, comment="seen")
    approval: pb.Approval = (await running.call("AnswerApproval", request, **{**APPROVER, **who})).approval
    return approval


async def decided(running: Running, approval_id: str = "", **fields: Any) -> pb.Decision:
    asked = {"context": ASSISTED, "action": action()} | fields
    answer = await running.call("Authorize", pb.AuthorizeRequest(approval_id=approval_id, **asked))
    decision: pb.Decision = answer.decision
    return decision


@pytest.fixture(autouse=True)
async def agent(running: Running) -> None:
    await running.register()
    await running.packet()


async def test_the_whole_way(running: Running) -> None:
    first = await decided(running)
    assert (first.verdict, first.reason, first.permit) == (pb.VERDICT_NEEDS_APPROVAL, "APPROVAL_REQUIRED", "")
    approval = await requested(running, action_digest=first.action_digest)
    assert (approval.state, approval.action_digest) == (pb.APPROVAL_STATE_PENDING, first.action_digest)
    pending = await decided(running, approval.approval_id)
    assert (pending.verdict, pending.reason) == (pb.VERDICT_NEEDS_APPROVAL, "APPROVAL_PENDING")
    approved = await answered(running, approval.approval_id)
    assert (approved.state, approved.answered_by) == (pb.APPROVAL_STATE_APPROVED, "key:approver")
    allowed = await decided(running, approval.approval_id)
    assert (allowed.verdict, allowed.reason) == (pb.VERDICT_ALLOW, "ALLOWED_BY_APPROVAL")
    assert allowed.permit
    shown = await running.call("GetApproval", pb.GetApprovalRequest(approval_id=approval.approval_id))
    assert shown.approval.state == pb.APPROVAL_STATE_USED


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"context": context("nobody", pb.MODE_ASSISTED)}, "AGENT_UNKNOWN"),
        ({"action": action("mail.send")}, "ACTION_UNKNOWN"),
        ({"action": action(environment="moon")}, "ENVIRONMENT_NOT_ALLOWED"),
    ],
)
async def test_people_are_not_asked_for_what_no_yes_can_help(
    running: Running, asked: dict[str, Any], reason: str
) -> None:
    judged = await decided(running, **asked)
    with pytest.raises(Fault) as refused:
        await requested(running, **asked)
    assert (refused.value.reason, judged.reason) == (reason, reason)
    assert not (await running.call("ListApprovals", PENDING)).approvals


async def test_nor_in_the_name_of_a_revoked_agent(running: Running) -> None:
    request_id = "before"
    asked = await requested(running, request_id=request_id)
    await running.call("RevokeAgent", pb.RevokeAgentRequest(agent_id="sre-1", kind="operator"))
    with pytest.raises(Refused) as refused:
        await requested(running)
    assert refused.value.reason == "AGENT_REVOKED"
    again = await requested(running, request_id=request_id)
    assert again.approval_id == asked.approval_id, "what was asked before is told, whatever became of it"


async def test_they_are_asked_for_what_may_yet_become_possible(running: Running) -> None:
    """An agent may be suspended for a moment, get another packet, or be promoted, before anybody answers."""
    high = await requested(running, action=action("storage.expand", environment="production"))
    elsewhere = await requested(running, context=context(mode=pb.MODE_ASSISTED, task_id="task-2"))
    await running.call("SuspendAgent", pb.SuspendAgentRequest(agent_id="sre-1"))
    suspended = await requested(running)
    assert {each.state for each in (high, elsewhere, suspended)} == {pb.APPROVAL_STATE_PENDING}


async def test_used_once(running: Running) -> None:
    approval = await requested(running)
    await answered(running, approval.approval_id)
    decisions = await asyncio.gather(*(decided(running, approval.approval_id) for _ in range(8)))
    assert sorted(each.reason for each in decisions) == ["ALLOWED_BY_APPROVAL"] + ["APPROVAL_USED"] * 7
    assert sum(bool(each.permit) for each in decisions) == 1


async def test_tried_again_after_the_decision_was_lost(running: Running) -> None:
    """The approval is spent, and then the append of the decision fails: the same request gets the same decision."""
    approval = await requested(running)
    await answered(running, approval.approval_id)
    real, tries = running.log.append, 0

    async def fail_decisions(stream: Any, events: Any, **rest: Any) -> Any:
        nonlocal tries
        if stream.aggregate == "decisions":
            tries += 1
            if tries == 1:
                running.log.fail_next()
        return await real(stream, events, **rest)

    running.log.append = fail_decisions  # type: ignore[method-assign]
    decision = await decided(running, approval.approval_id, request_id="the-one")  # the channel tries again
    assert tries == 2
    assert (decision.verdict, decision.reason) == (pb.VERDICT_ALLOW, "ALLOWED_BY_APPROVAL")
    assert (await decided(running, approval.approval_id)).reason == "APPROVAL_USED"


@pytest.mark.parametrize(
    "changed",
    [
        {"action": action(parameters={"top": "5"})},
        {"action": action(target="elsewhere")},
        {"context": context(mode=pb.MODE_ASSISTED, run_id="run-2")},
    ],
)
async def test_it_is_good_for_exactly_what_was_approved(running: Running, changed: dict[str, Any]) -> None:
    approval = await requested(running)
    await answered(running, approval.approval_id)
    refused = await decided(running, approval.approval_id, **changed)
    assert (refused.verdict, refused.reason) == (pb.VERDICT_DENY, "DIGEST_MISMATCH")
    if "context" in changed:
        assert "is for run 'run-1', not for run 'run-2'" in refused.explanation
    else:
        assert "was given for another action" in refused.explanation
    assert (await decided(running, approval.approval_id)).verdict == pb.VERDICT_ALLOW


async def test_not_for_another_agent_or_tenant(running: Running) -> None:
    approval = await requested(running)
    await answered(running, approval.approval_id)
    await running.register("sre-2")
    await running.packet("sre-2")
    other = await decided(running, approval.approval_id, context=context("sre-2", pb.MODE_ASSISTED))
    assert other.reason == "DIGEST_MISMATCH"
    assert "is for agent 'sre-1', not for agent 'sre-2'" in other.explanation
    with pytest.raises(NotFound):
        await answered(running, approval.approval_id, tenant="other")
    with pytest.raises(NotFound):
        await running.call(
            "GetApproval", pb.GetApprovalRequest(approval_id=approval.approval_id), tenant="other"
        )
    approved = pb.ListApprovalsRequest(state=pb.APPROVAL_STATE_APPROVED)
    assert len((await running.call("ListApprovals", approved)).approvals) == 1
    assert not (await running.call("ListApprovals", approved, tenant="other")).approvals
    assert (await decided(running, "nothing")).reason == "APPROVAL_UNKNOWN"


async def test_who_asked_may_not_answer(running: Running) -> None:
    approval = await requested(running)
    with pytest.raises(Denied) as refused:
        await answered(running, approval.approval_id, actor="key:operator", roles=("approver", "admin"))
    assert refused.value.reason == "SELF_APPROVAL"
    with pytest.raises(Denied) as agent:
        await answered(running, approval.approval_id, actor="agent:sre-1")
    assert agent.value.reason == "SELF_APPROVAL"
    assert (await decided(running, approval.approval_id)).reason == "APPROVAL_PENDING"


async def test_no_is_no(running: Running) -> None:
    approval = await requested(running)
    await answered(running, approval.approval_id, approve=False)
    assert (await decided(running, approval.approval_id)).reason == "APPROVAL_REJECTED"
    with pytest.raises(Refused) as closed:
        await answered(running, approval.approval_id, actor="key:other")
    assert closed.value.reason == "APPROVAL_CLOSED"


async def test_it_expires(running: Running, clock: Clock) -> None:
    approval = await requested(running, ttl_seconds=60)
    clock.ahead = timedelta(seconds=61)
    shown = await running.call("GetApproval", pb.GetApprovalRequest(approval_id=approval.approval_id))
    assert shown.approval.state == pb.APPROVAL_STATE_EXPIRED
    listed = await running.call("ListApprovals", pb.ListApprovalsRequest(state=pb.APPROVAL_STATE_EXPIRED))
    assert [each.approval_id for each in listed.approvals] == [approval.approval_id]


async def test_the_same_request_is_the_same_approval(running: Running) -> None:
    assert await requested(running, request_id="one") == await requested(running, request_id="one")


async def test_requests_that_are_refused(running: Running) -> None:
    for fields, reason in (
        ({"action_digest": "sha256:00"}, "DIGEST_MISMATCH"),
        ({"requested_by": ""}, "FIELD_MISSING"),
        ({"ttl_seconds": -1}, "FIELD_INVALID"),
        ({"ttl_seconds": 10**8}, "FIELD_INVALID"),
    ):
        with pytest.raises(Invalid) as refused:
            await requested(running, **fields)
        assert refused.value.reason == reason


async def test_listed_newest_first_in_pages(running: Running) -> None:
    made = [(await requested(running, context=context(run_id=f"run-{n}"))).approval_id for n in range(5)]
    await answered(running, made[2])
    pages, token = [], ""
    while True:
        page = await running.call("ListApprovals", pb.ListApprovalsRequest(page_size=2, page_token=token))
        pages.append([each.approval_id for each in page.approvals])
        token = page.next_page_token
        if not token:
            break
    assert pages == [[made[4], made[3]], [made[1], made[0]]]
    of_run = await running.call("ListApprovals", pb.ListApprovalsRequest(run_id="run-1"))
    assert [each.approval_id for each in of_run.approvals] == [made[1]]
    approved = await running.call("ListApprovals", pb.ListApprovalsRequest(state=pb.APPROVAL_STATE_APPROVED))
    assert [each.approval_id for each in approved.approvals] == [made[2]]
    with pytest.raises(Invalid):
        await running.call("ListApprovals", pb.ListApprovalsRequest(page_token="nonsense"))


async def published(running: Running, document: str, replaces: str = "1", **who: Any) -> str:
    request = pb.PublishPolicySetRequest(document=document, replaces_version=replaces)
    return str((await running.call("PublishPolicySet", request, **who)).version)


async def test_a_new_set_decides_at_once_and_for_its_tenant_alone(running: Running) -> None:
    default = await running.call("GetPolicySet", pb.GetPolicySetRequest())
    stricter = (
        default.document.replace('version: "1"', 'version: "2"')
        .replace('actions: ["diagnostics.*"]', "actions: [diagnostics.disk]")
        .replace("action: diagnostics.memory", "action: diagnostics.disk")
    )
    auto: dict[str, Any] = {"context": context()}
    assert (await decided(running, **auto)).reason == "ALLOWED_BY_TIER"
    assert await published(running, stricter) == "2"
    after = await decided(running, **auto)
    assert (after.verdict, after.policy_version) == (pb.VERDICT_DENY, "2")
    assert (await running.call("GetPolicySet", pb.GetPolicySetRequest())).version == "2"
    assert (await running.call("GetPolicySet", pb.GetPolicySetRequest(), tenant="other")).version == "1"


async def test_a_bad_set_never_goes_live(running: Running) -> None:
    document = (await running.call("GetPolicySet", pb.GetPolicySetRequest())).document
    broken = document.replace('version: "1"', 'version: "2"').replace(
        "token_ttl_seconds: 3600", "token_ttl_seconds: 1"
    )
    line = next(n for n, text in enumerate(broken.splitlines(), 1) if "token_ttl_seconds: 1" in text)
    with pytest.raises(Invalid) as refused:
        await published(running, broken)
    assert refused.value.reason == "POLICY_SET_INVALID"
    assert refused.value.facts["place"].startswith(f"line {line},")
    for text, reason in ((document.replace('version: "1"', 'version: "2"'), "POLICY_SET_STALE"),):
        with pytest.raises(Refused) as stale:
            await published(running, text, "0")
        assert stale.value.reason == reason
    with pytest.raises(Invalid):
        await published(running, document, "")
    assert (await decided(running, context=context())).policy_version == "1"


async def test_a_set_that_cannot_be_read_denies_everything(running: Running) -> None:
    from provost.policy.v1 import events_pb2

    event = events_pb2.PolicySetPublished(version="9", document="half writ", by="key:admin")
    event.at.GetCurrentTime()
    headers = b"NATS/1.0\r\nce-type: provost.policy.v1.PolicySetPublished\r\n\r\n"
    subject = "evt.default.policy.policyset.current.PolicySetPublished"
    await running.follower.reached(running.log.put(subject, event.SerializeToString(), headers))
    decision = await decided(running, context=context())
    assert (decision.verdict, decision.reason) == (pb.VERDICT_DENY, "POLICY_SET_INVALID")
    assert (await decided(running, context=context(task_id="other"))).reason == "NO_PACKET"


async def test_the_default_set_is_put_on_record_once(running: Running) -> None:
    before = await running.log.last_sequence()
    for _ in range(2):
        await running.policy.replacing.publish_default(datetime.now(UTC))
    assert await running.log.last_sequence() == before + 1
    shown = await running.call("GetPolicySet", pb.GetPolicySetRequest())
    assert (shown.version, shown.sequence) == ("1", before + 1)
    assert (await decided(running, context=context())).policy_version == "1"


async def test_each_verdict_on_one_request_is_a_decision_of_its_own(running: Running) -> None:
    """The ledger keeps one verdict for an id: what an effect rests on must be told there as the yes it was."""
    first = await decided(running, request_id="the-one")
    approval = await requested(running)
    waits = await decided(running, approval.approval_id, request_id="the-one")
    await answered(running, approval.approval_id)
    allowed = await decided(running, approval.approval_id, request_id="the-one")
    again = await decided(running, approval.approval_id, request_id="the-one")
    assert [each.reason for each in (first, waits, allowed)] == [
        "APPROVAL_REQUIRED", "APPROVAL_PENDING", "ALLOWED_BY_APPROVAL",
    ]  # fmt: skip
    assert len({first.decision_id, waits.decision_id, allowed.decision_id}) == 3
    assert again.decision_id == allowed.decision_id
    verdicts: dict[str, set[int]] = {}
    for record in await running.decisions():
        verdicts.setdefault(record.decision_id, set()).add(record.verdict)
    assert all(len(each) == 1 for each in verdicts.values()), verdicts
    assert verdicts[allowed.decision_id] == {pb.VERDICT_ALLOW}


async def test_an_approval_id_is_no_place_to_hide_a_megabyte(running: Running) -> None:
    with pytest.raises(Invalid, match="approval_id"):
        await decided(running, "a" * 129)
    batch = pb.BatchAuthorizeRequest(context=ASSISTED, actions=[action()], approval_ids={"a1": "a" * 129})
    with pytest.raises(Invalid, match="approval_ids"):
        await running.call("BatchAuthorize", batch)
