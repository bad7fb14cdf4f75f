"""Request ids are chosen by callers, and ours can be computed: one request never passes for another."""

from datetime import UTC, datetime
from typing import Any

import pytest

from kernel.events import Appended, Cause, derived_id
from provost.policy.v1 import policy_pb2 as pb
from services.policy.adapters.signing import digest_of
from services.policy.domain.approval import UseApproval
from services.policy.handlers.ask import Ask, Facts
from services.policy.handlers.minutes import Minutes
from services.policy.wire.decisions import action_from_wire, context_from_wire
from tests.fakes.wait import until
from tests.rpc.policy.conftest import Running, action, context
from tests.rpc.policy.test_approvals import ASSISTED, answered, decided, requested
from tests.rpc.policy.test_budgets import ADMIN, budget, limit, lines, ready
from tests.rpc.policy.test_revocation import child, receipt_of, refused, revocations
from tests.rpc.policy.test_sets import default, other
from tests.rpc.policy.test_votes import in_force


async def secret_of(running: Running, agent_id: str) -> Any:
    return await running.call("CreateSecret", pb.CreateSecretRequest(agent_id=agent_id))


async def log_in(running: Running, secret: Any, request_id: str) -> str:
    """As the agent itself, under an id it has chosen."""
    asked = pb.CreateSessionRequest(role_id=secret.role_id, secret_id=secret.secret_id, request_id=request_id)
    token: str = (await running.call("CreateSession", asked, actor="agent:x", roles=())).session_token
    return token


async def test_an_agent_that_logs_in_under_the_id_of_its_revocation_is_revoked(running: Running) -> None:
    await running.register()
    await running.packet()
    request_id = derived_id("a" * 32, "revoke")  # what the orchestrator will ask under
    token = await log_in(running, await secret_of(running, "sre-1"), request_id)
    answer = await running.call(
        "RevokeAgent",
        pb.RevokeAgentRequest(agent_id="sre-1", request_id=request_id, kind="procedure_violation"),
    )
    assert answer.agent.state == pb.AGENT_STATE_REVOKED
    assert (await revocations(running))["sre-1"].kind == "procedure_violation"
    asked = pb.AuthorizeRequest(session_token=token, context=context(), action=action())
    decision = (await running.call("Authorize", asked, roles=("operator",))).decision
    assert (decision.verdict, decision.reason, decision.permit) == (pb.VERDICT_DENY, "AGENT_REVOKED", "")


async def test_so_is_a_child_that_logs_in_under_the_id_of_its_own(running: Running) -> None:
    await running.register("boss", pb.TIER_T2_BUILDER)
    await child(running, "a", "boss")
    await log_in(running, await secret_of(running, "a"), derived_id("default", "parent_revoked", "boss", "a"))
    answer = await running.call("RevokeAgent", pb.RevokeAgentRequest(agent_id="boss"))
    assert list(answer.receipt.children) == ["a"]
    assert set(await revocations(running)) == {"boss", "a"}


async def test_the_receipt_is_written_whatever_the_agent_wrote_under_its_id(running: Running) -> None:
    await running.register()
    await log_in(running, await secret_of(running, "sre-1"), derived_id("default", "receipt", "sre-1"))
    answer = await running.call("RevokeAgent", pb.RevokeAgentRequest(agent_id="sre-1"))
    assert answer.receipt == await receipt_of(running, "sre-1")


async def test_a_child_falls_with_its_parents_tier_whatever_it_wrote_under_that_id(running: Running) -> None:
    await running.register("boss", pb.TIER_T2_BUILDER)
    await child(running, "a", "boss", pb.TIER_T2_BUILDER)
    since = running.policy.agents._agents.current("default", "a").tier_since
    assert since is not None
    await log_in(
        running,
        await secret_of(running, "a"),
        derived_id("default", "trust", "a", since.isoformat(), "T1_OPERATOR"),
    )
    down = pb.DemoteAgentRequest(agent_id="boss", to_tier=pb.TIER_T1_OPERATOR)
    await running.call("DemoteAgent", down, actor="key:root", roles=("admin",))

    async def fell() -> bool:
        agent = (await running.call("GetAgent", pb.GetAgentRequest(agent_id="a"))).agent
        return bool(agent.tier == pb.TIER_T1_OPERATOR)

    await until(fell, "the child kept a tier that its parent has not")


async def test_suspended_and_revoked_under_one_id_is_revoked(running: Running) -> None:
    await running.register()
    who: Any = {"actor": "key:op", "roles": ("operator",)}
    await running.call(
        "SuspendAgent", pb.SuspendAgentRequest(agent_id="sre-1", request_id="incident-42"), **who
    )
    revoke = pb.RevokeAgentRequest(agent_id="sre-1", request_id="incident-42")
    answer = await running.call("RevokeAgent", revoke, **who)
    assert (answer.agent.state, answer.HasField("receipt")) == (pb.AGENT_STATE_REVOKED, True)
    again = await running.call("RevokeAgent", revoke, **who)
    assert (again.sequence, again.receipt) == (answer.sequence, answer.receipt)
    other = running.call("RevokeAgent", revoke, actor="key:other", roles=("operator",))
    assert await refused(other) == "AGENT_ALREADY_REVOKED", "somebody else's request"


async def test_two_people_who_answer_under_one_id_have_both_said_it(running: Running) -> None:
    """As a chat bot does that takes the approval's id for its request id, whoever pressed the button."""
    await running.register()
    await running.packet()
    await in_force(running)
    asked = await requested(running)
    await presses(running, asked, "ann", pb.VOTE_APPROVE)
    again = await presses(running, asked, "ann", pb.VOTE_APPROVE)
    assert again.state == pb.APPROVAL_STATE_PENDING
    after = await presses(running, asked, "bob", pb.VOTE_REJECT)
    assert (after.state, after.answered_by) == (pb.APPROVAL_STATE_REJECTED, "key:bob")


async def presses(running: Running, asked: pb.Approval, who: str, vote: int) -> pb.Approval:
    request = pb.AnswerApprovalRequest(
        approval_id=asked.approval_id,
        vote=vote,  # type: ignore[arg-type]
        comment="x",
        request_id=f"button-{asked.approval_id}",
    )
    answer = await running.call("AnswerApproval", request, actor=f"key:{who}", roles=("approver",))
    approval: pb.Approval = answer.approval
    return approval


async def test_who_takes_a_yes_back_under_its_id_has_said_no(running: Running) -> None:
    await running.register()
    await running.packet()
    await in_force(running)
    asked = await requested(running)
    await presses(running, asked, "ann", pb.VOTE_APPROVE)
    after = await presses(running, asked, "ann", pb.VOTE_REJECT)
    assert (after.state, after.answered_by) == (pb.APPROVAL_STATE_REJECTED, "key:ann")


async def test_budgets_set_under_one_id_are_all_in_force(running: Running) -> None:
    for agent_id in ("sre-1", "sre-2"):
        await ready(running, agent_id)
    wanted = (("sre-1", 2), ("sre-2", 2), ("sre-1", 1))
    made = [
        await budget(running, limit(pb.UNIT_ACTIONS, most), scope_id=agent_id, request_id="nightly")
        for agent_id, most in (*wanted, wanted[-1])
    ]
    assert len({each.sequence for each in made}) == 3, "the same once more is the same"
    for agent_id, most in (("sre-1", 1), ("sre-2", 2)):
        ((_, _, in_force, _, _),) = await lines(running, agent_id=agent_id)
        assert in_force == most, agent_id


async def test_sets_published_and_taken_back_under_one_id_are_all_put_in_force(running: Running) -> None:
    first = await default(running)

    async def publishes(version: str, replaces: str) -> int:
        asked = pb.PublishPolicySetRequest(
            request_id="ci", document=other(first, version), replaces_version=replaces
        )
        return int((await running.call("PublishPolicySet", asked, **ADMIN)).sequence)

    async def goes_back(version: str, replaces: str) -> None:
        asked = pb.RollbackPolicySetRequest(request_id="ci", to_version=version, replaces_version=replaces)
        await running.call("RollbackPolicySet", asked, **ADMIN)

    async def version() -> str:
        return str((await running.call("GetPolicySet", pb.GetPolicySetRequest())).version)

    second = await publishes("2", "1")
    third = await publishes("3", "2")
    assert await version() == "3"
    assert (await publishes("2", "1"), await publishes("3", "2")) == (second, third)
    assert await version() == "3", "what was asked for before is not done again"
    await goes_back("2", "3")
    await goes_back("1", "2")
    assert await version() == "1"


async def test_who_is_demoted_twice_under_one_id_falls_twice(running: Running) -> None:
    await running.register(tier=pb.TIER_T3_EXECUTOR)
    for tier in (pb.TIER_T2_BUILDER, pb.TIER_T1_OPERATOR):
        down = pb.DemoteAgentRequest(agent_id="sre-1", to_tier=tier, request_id="incident-42")
        assert (await running.call("DemoteAgent", down, **ADMIN)).agent.tier == tier
    for tier in (pb.TIER_T2_BUILDER, pb.TIER_T3_EXECUTOR):
        up = pb.PromoteAgentRequest(agent_id="sre-1", to_tier=tier, request_id="over")
        assert (await running.call("PromoteAgent", up, **ADMIN)).agent.tier == tier


def id_of_use(running: Running, request_id: str) -> str:
    """What an ALLOW under this request id will be called."""
    cause = Cause("default", request_id, "x", datetime.now(UTC))
    ask = Ask(context_from_wire(ASSISTED), (action_from_wire(action()),), {})
    facts = Facts(running.policy.agents._agents.current("default", "sre-1"), None, None)
    return Minutes(ask, facts, cause, None, digest_of, trusted=True).names[0][1]


async def test_an_approval_answered_under_the_id_of_its_use_is_used_once(running: Running) -> None:
    await running.register()
    await running.packet()
    asked, coming = await requested(running), id_of_use(running, "use-1")
    yes = pb.AnswerApprovalRequest(approval_id=asked.approval_id, approve=True, request_id=coming)
    await running.call("AnswerApproval", yes, actor="key:ann", roles=("approver",))
    for _ in range(2):
        first = await decided(running, asked.approval_id, request_id="use-1")
        assert (first.verdict, first.decision_id) == (pb.VERDICT_ALLOW, coming)
    other = await decided(running, asked.approval_id, request_id="use-2")
    assert (other.reason, other.permit) == ("APPROVAL_USED", "")


async def test_whatever_was_written_under_the_id_of_a_use_did_not_use_it(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    await running.register()
    await running.packet()
    asked = await requested(running)
    await answered(running, asked.approval_id)
    approvals = running.policy.authorization._approvals
    handle = approvals.handle

    async def written_before(id: str, command: Any, cause: Cause, guard: Any = None) -> Appended:
        if isinstance(command, UseApproval):
            return Appended(approvals.head(cause.tenant, id).sequence, ("another",), duplicate=True)
        return await handle(id, command, cause, guard)

    monkeypatch.setattr(approvals, "handle", written_before)
    assert (await decided(running, asked.approval_id)).reason == "APPROVAL_USED"
