"""What one tenant has is not there for another: whoever knows its names is told what a stranger is told."""

from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.message import Message

from kernel.faults import Fault
from provost.policy.v1 import policy_pb2 as pb
from tests.rpc.policy.conftest import Running, action, context
from tests.rpc.policy.test_approvals import published, requested

ELSEWHERE: dict[str, Any] = {"tenant": "other", "actor": "key:root", "roles": ("admin", "approver")}
SECRET = "limits of ours"
ASSISTED = context(mode=pb.MODE_ASSISTED)

ASKED: list[tuple[str, Callable[[dict[str, str]], Message], str]] = [
    ("GetAgent", lambda _: pb.GetAgentRequest(agent_id="sre-1"), "AGENT_UNKNOWN"),
    ("SuspendAgent", lambda _: pb.SuspendAgentRequest(agent_id="sre-1"), "AGENT_UNKNOWN"),
    ("ResumeAgent", lambda _: pb.ResumeAgentRequest(agent_id="sre-1"), "AGENT_UNKNOWN"),
    (
        "PromoteAgent",
        lambda _: pb.PromoteAgentRequest(agent_id="sre-1", to_tier=pb.TIER_T2_BUILDER),
        "AGENT_UNKNOWN",
    ),
    (
        "DemoteAgent",
        lambda _: pb.DemoteAgentRequest(agent_id="sre-1", to_tier=pb.TIER_T0_OBSERVER),
        "AGENT_UNKNOWN",
    ),
    ("RevokeAgent", lambda _: pb.RevokeAgentRequest(agent_id="sre-1", kind="operator"), "AGENT_UNKNOWN"),
    ("GetRevocationReceipt", lambda _: pb.GetRevocationReceiptRequest(agent_id="sre-1"), "AGENT_UNKNOWN"),
    ("CreateSecret", lambda _: pb.CreateSecretRequest(agent_id="sre-1"), "AGENT_UNKNOWN"),
    ("CreateSecret", lambda _: pb.CreateSecretRequest(agent_id="sre-1", wrap_seconds=60), "AGENT_UNKNOWN"),
    (
        "RegisterAgent",
        lambda _: pb.RegisterAgentRequest(agent_id="x", tier=pb.TIER_T1_OPERATOR, parent_agent_id="sre-1"),
        "PARENT_INVALID",
    ),
    (
        "CreateSession",
        lambda has: pb.CreateSessionRequest(role_id=has["role"], secret_id=has["secret"]),
        "CREDENTIALS_REFUSED",
    ),
    (
        "UnwrapSecret",
        lambda has: pb.UnwrapSecretRequest(wrapping_token=has["wrapped"]),
        "WRAPPING_TOKEN_INVALID",
    ),
    (
        "Authorize",
        lambda has: pb.AuthorizeRequest(context=context(), action=action(), session_token=has["token"]),
        "TENANT_MISMATCH",
    ),
    (
        "ReserveBudget",
        lambda has: pb.ReserveBudgetRequest(
            context=context(), amounts=pb.Amounts(actions=1), session_token=has["token"]
        ),
        "TENANT_MISMATCH",
    ),
    (
        "SettleReservation",
        lambda has: pb.SettleReservationRequest(
            reservation_id=has["reservation"], whole=True, session_token=has["token"]
        ),
        "TENANT_MISMATCH",
    ),
    ("GetApproval", lambda has: pb.GetApprovalRequest(approval_id=has["approval"]), "APPROVAL_UNKNOWN"),
    (
        "AnswerApproval",
        lambda has: pb.AnswerApprovalRequest(approval_id=has["approval"], approve=True),
        "APPROVAL_UNKNOWN",
    ),
    ("GetPolicySet", lambda _: pb.GetPolicySetRequest(version="ours"), "POLICY_SET_UNKNOWN"),
    ("DiffPolicySets", lambda _: pb.DiffPolicySetsRequest(new_version="ours"), "POLICY_SET_UNKNOWN"),
    (
        "RollbackPolicySet",
        lambda _: pb.RollbackPolicySetRequest(to_version="ours", replaces_version="1"),
        "POLICY_SET_UNKNOWN",
    ),
    (
        "Explain",
        lambda _: pb.ExplainRequest(context=context(), action=action(), policy_version="ours"),
        "POLICY_SET_UNKNOWN",
    ),
]


@pytest.fixture
async def has(running: Running) -> dict[str, str]:
    """What the default tenant has: an agent with a session, an approval that waits, a reservation, a set."""
    await running.register()
    await running.packet()
    made = await running.call("CreateSecret", pb.CreateSecretRequest(agent_id="sre-1"))
    wrapped = await running.call("CreateSecret", pb.CreateSecretRequest(agent_id="sre-1", wrap_seconds=60))
    session = pb.CreateSessionRequest(role_id=made.role_id, secret_id=made.secret_id)
    token = (await running.call("CreateSession", session)).session_token
    approval = await requested(running)
    document = (await running.call("GetPolicySet", pb.GetPolicySetRequest())).document
    await published(running, document.replace('version: "1"', 'version: "ours"'), "1")
    limit = pb.Limit(unit=pb.UNIT_ACTIONS, most=100)
    budget = pb.SetBudgetRequest(scope=pb.BUDGET_SCOPE_AGENT, scope_id="sre-1", limits=[limit], why=SECRET)
    await running.call("SetBudget", budget, actor="key:root", roles=("admin",))
    reserve = pb.ReserveBudgetRequest(context=context(), amounts=pb.Amounts(actions=1))
    reservation = (await running.call("ReserveBudget", reserve)).reservation.reservation_id
    return {
        "role": made.role_id,
        "secret": made.secret_id,
        "wrapped": wrapped.wrapping_token,
        "token": token,
        "approval": approval.approval_id,
        "reservation": reservation,
    }


async def test_who_knows_the_names_of_another_tenant_gets_nothing(
    running: Running, has: dict[str, str]
) -> None:
    for method, request, reason in ASKED:
        before = len(running.log.recorded())
        with pytest.raises(Fault) as refused:
            await running.call(method, request(has), **ELSEWHERE)
        assert refused.value.reason == reason, method
        ours = [each for each in running.log.recorded()[before:] if each.stream.tenant != ELSEWHERE["tenant"]]
        assert not ours, f"{method} left a trace with the other tenant"
    settle = pb.SettleReservationRequest(reservation_id=has["reservation"], whole=True)
    with pytest.raises(Fault) as unknown:
        await running.call("SettleReservation", settle, tenant="other")
    assert unknown.value.reason == "RESERVATION_UNKNOWN"
    for method in ("ListAgents", "ListApprovals", "ListBudgets"):
        listed = await running.call(method, getattr(pb, f"{method}Request")(), **ELSEWHERE)
        assert SECRET not in str(listed)
        assert "sre-1" not in str(listed), method
    sets = await running.call("ListPolicySets", pb.ListPolicySetsRequest(), **ELSEWHERE)
    assert "ours" not in [each.version for each in sets.sets]
    waits = await running.call("GetApproval", pb.GetApprovalRequest(approval_id=has["approval"]))
    assert waits.approval.state == pb.APPROVAL_STATE_PENDING


async def test_an_approval_of_another_tenant_is_none(running: Running, has: dict[str, str]) -> None:
    """Not even with the same agent, run and action over here."""
    await running.register(tenant="other")
    await running.packet(tenant="other")
    yes = pb.AnswerApprovalRequest(approval_id=has["approval"], approve=True)
    await running.call("AnswerApproval", yes, actor="key:ann", roles=("approver",))
    ask = pb.AuthorizeRequest(context=ASSISTED, action=action(), approval_id=has["approval"])
    said = (await running.call("Authorize", ask, tenant="other")).decision
    assert (said.verdict, said.reason) == (pb.VERDICT_DENY, "APPROVAL_UNKNOWN")
    ask.request_id = ""
    assert (await running.call("Authorize", ask)).decision.reason == "ALLOWED_BY_APPROVAL"
