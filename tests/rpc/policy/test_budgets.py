"""Budgets over gRPC: set, drawn on by decisions, reserved, settled, expired, and refused before the call is made."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from chassis import process
from kernel.events import Cause
from kernel.faults import Denied, Exhausted, Invalid, NotFound, Refused, Unauthenticated
from provost.policy.v1 import events_pb2
from provost.policy.v1 import policy_pb2 as pb
from provost.state.v1 import events_pb2 as state_events_pb2
from tests.rpc.policy.conftest import Clock, Running, action, context

ADMIN: dict[str, Any] = {"actor": "key:admin", "roles": ("admin",)}
OPERATOR: dict[str, Any] = {"actor": "key:ops", "roles": ("operator",)}
DENY, ALLOW = pb.VERDICT_DENY, pb.VERDICT_ALLOW


def limit(unit: int, most: int) -> pb.Limit:
    return pb.Limit(unit=unit, most=most)  # type: ignore[arg-type]


async def budget(
    running: Running, *limits: pb.Limit, scope: int = pb.BUDGET_SCOPE_AGENT, **fields: Any
) -> Any:
    wanted: dict[str, Any] = {"scope": scope, "scope_id": "sre-1"} | fields
    return await running.call("SetBudget", pb.SetBudgetRequest(limits=limits, **wanted), **ADMIN)


async def ready(running: Running, agent_id: str = "sre-1") -> None:
    await running.register(agent_id)
    await running.packet(agent_id)


async def ask(running: Running, request_id: str = "", agent_id: str = "sre-1", **fields: Any) -> pb.Decision:
    request = pb.AuthorizeRequest(request_id=request_id, context=context(agent_id, **fields), action=action())
    answer = await running.call("Authorize", request)
    decision: pb.Decision = answer.decision
    return decision


async def token(running: Running, agent_id: str = "sre-1") -> str:
    secret = await running.call("CreateSecret", pb.CreateSecretRequest(agent_id=agent_id), **ADMIN)
    request = pb.CreateSessionRequest(role_id=secret.role_id, secret_id=secret.secret_id)
    return str((await running.call("CreateSession", request, **OPERATOR)).session_token)


def reserve(agent_id: str = "sre-1", **fields: Any) -> pb.ReserveBudgetRequest:
    amounts = fields.pop("amounts", pb.Amounts(tokens=10))
    return pb.ReserveBudgetRequest(context=context(agent_id), amounts=amounts, **fields)


async def lines(running: Running, **wanted: Any) -> list[tuple[str, int, int, int, int]]:
    listed = await running.call("ListBudgets", pb.ListBudgetsRequest(**(wanted or {"agent_id": "sre-1"})))
    return [
        (each.budget_id, line.unit, line.most, line.spent, line.reserved)
        for each in listed.budgets
        for line in each.lines
    ]


async def drawn(running: Running) -> list[events_pb2.DecisionsMade]:
    """Every decision that was recorded with the budgets."""
    feed = await running.log.open(("evt.default.policy.budget.all.DecisionsMade",), 0, None)
    return [events_pb2.DecisionsMade.FromString(each.payload) for each in (await feed.next()).events]


async def test_a_spent_budget_denies_and_says_what_is_left(running: Running) -> None:
    await ready(running)
    await budget(running, limit(pb.UNIT_ACTIONS, 2))
    decisions = [await ask(running) for _ in range(3)]
    assert [each.verdict for each in decisions] == [ALLOW, ALLOW, DENY]
    assert [bool(each.reservation_id) for each in decisions] == [True, True, False]
    refused = decisions[2]
    assert (refused.rule, refused.reason) == ("budget.hand", "BUDGET_SPENT")
    assert "allows 2 ACTIONS: 0 spent, 2 set aside, 1 asked for" in refused.explanation
    assert not refused.permit
    recorded = [one.verdict for each in await drawn(running) for one in each.decisions]
    recorded += [each.verdict for each in await running.decisions()]
    assert sorted(recorded) == [ALLOW, ALLOW, DENY]
    assert await lines(running) == [("hand", pb.UNIT_ACTIONS, 2, 0, 2)]


async def test_nothing_is_set_aside_without_a_budget_or_in_a_safe_run(running: Running) -> None:
    await ready(running)
    assert not (await ask(running)).reservation_id
    await budget(running, limit(pb.UNIT_ACTIONS, 1))
    assert not (await ask(running, mode=pb.MODE_SAFE)).reservation_id
    assert (await ask(running)).reservation_id
    assert len(await drawn(running)) == 1


async def test_many_at_once_on_a_budget_nearly_spent_never_overspend_it(running: Running) -> None:
    await ready(running)
    await budget(running, limit(pb.UNIT_ACTIONS, 10), scope=pb.BUDGET_SCOPE_TENANT, scope_id="")
    answers = await asyncio.gather(*(ask(running) for _ in range(60)))
    assert sum(each.verdict == ALLOW for each in answers) == 10
    assert {each.reason for each in answers if each.verdict == DENY} == {"BUDGET_SPENT"}
    assert sum(len(each.reservations) for each in await drawn(running)) == 10


async def test_the_same_request_has_one_reservation(running: Running) -> None:
    await ready(running)
    await budget(running, limit(pb.UNIT_ACTIONS, 1))
    first = await ask(running, "once")
    await asyncio.gather(*(ask(running, "once") for _ in range(5)))
    again = await ask(running, "once")
    assert (again.verdict, again.reservation_id) == (ALLOW, first.reservation_id)
    assert await lines(running) == [("hand", pb.UNIT_ACTIONS, 1, 0, 1)]


async def test_settling_frees_what_was_not_spent(running: Running) -> None:
    await ready(running)
    await budget(running, limit(pb.UNIT_TOKENS, 100))
    made = (await running.call("ReserveBudget", reserve(amounts=pb.Amounts(tokens=80)))).reservation
    with pytest.raises(Exhausted) as refused:
        await running.call("ReserveBudget", reserve(amounts=pb.Amounts(tokens=30)))
    assert refused.value.reason == "BUDGET_SPENT"
    assert refused.value.facts["reserved"] == "80"
    assert refused.value.facts["most"] == "100"
    settle = pb.SettleReservationRequest(reservation_id=made.reservation_id, spent=pb.Amounts(tokens=25))
    for _ in range(2):
        answer = await running.call("SettleReservation", settle)
        assert answer.end == pb.RESERVATION_END_SETTLED
        settle.request_id = ""
    assert await lines(running) == [("hand", pb.UNIT_TOKENS, 100, 25, 0)]
    other = pb.SettleReservationRequest(reservation_id=made.reservation_id)
    with pytest.raises(Refused, match="settled already"):
        await running.call("SettleReservation", other)
    with pytest.raises(NotFound):
        await running.call("SettleReservation", pb.SettleReservationRequest(reservation_id="nobodys"))


async def test_more_than_was_reserved_is_refused_and_nothing_is_a_refund(running: Running) -> None:
    await ready(running)
    await budget(running, limit(pb.UNIT_TOKENS, 100))
    made = (await running.call("ReserveBudget", reserve(request_id="r"))).reservation
    same = (await running.call("ReserveBudget", reserve(request_id="r"))).reservation
    assert same == made
    for spent in (pb.Amounts(tokens=11), pb.Amounts(tokens=-1), pb.Amounts(actions=1), pb.Amounts(errors=1)):
        wrong = pb.SettleReservationRequest(reservation_id=made.reservation_id, spent=spent)
        with pytest.raises(Invalid) as refused:
            await running.call("SettleReservation", wrong)
        assert refused.value.reason == "AMOUNT_INVALID"
    nothing = pb.SettleReservationRequest(reservation_id=made.reservation_id)
    assert (await running.call("SettleReservation", nothing)).end == pb.RESERVATION_END_REFUNDED
    assert await lines(running) == [("hand", pb.UNIT_TOKENS, 100, 0, 0)]


async def test_other_amounts_under_the_same_request_are_set_aside_too(running: Running) -> None:
    await ready(running)
    await budget(running, limit(pb.UNIT_TOKENS, 100))
    asked = [pb.Amounts(tokens=1), pb.Amounts(tokens=60), pb.Amounts(tokens=1)]
    made = [(await running.call("ReserveBudget", reserve(request_id="r", amounts=each))) for each in asked]
    assert [each.reservation.amounts.tokens for each in made] == [1, 60, 1]
    assert made[2].reservation == made[0].reservation
    with pytest.raises(Exhausted, match="1000 asked for"):
        await running.call("ReserveBudget", reserve(request_id="r", amounts=pb.Amounts(tokens=1000)))
    assert await lines(running) == [("hand", pb.UNIT_TOKENS, 100, 0, 61)]


async def test_a_slash_makes_no_reservation_of_another(running: Running) -> None:
    await ready(running)
    await budget(running, limit(pb.UNIT_TOKENS, 100))
    made = []
    for run_id, task_id in (("r", "t/q"), ("r/t", "q")):
        wanted = reserve(request_id="r")
        wanted.context.MergeFrom(pb.RunContext(run_id=run_id, task_id=task_id))
        made.append((await running.call("ReserveBudget", wanted)).reservation)
    assert [each.run_id for each in made] == ["r", "r/t"]
    assert await lines(running) == [("hand", pb.UNIT_TOKENS, 100, 0, 20)]


async def test_another_cost_or_mode_under_the_same_request_is_another_decision(running: Running) -> None:
    await ready(running)
    await budget(running, limit(pb.UNIT_TOKENS, 100))

    async def decided(tokens: int, **fields: Any) -> pb.Decision:
        request = pb.AuthorizeRequest(
            request_id="r",
            context=context("sre-1", **fields),
            action=action(),
            cost=pb.Amounts(tokens=tokens),
        )
        made: pb.Decision = (await running.call("Authorize", request)).decision
        return made

    small, again = await decided(1), await decided(1)
    assert again.decision_id == small.decision_id
    larger = await decided(60)
    safe = await decided(1, mode=pb.MODE_SAFE)
    assert [each.verdict for each in (small, larger, safe)] == [ALLOW] * 3
    assert len({each.decision_id for each in (small, larger, safe)}) == 3
    assert (await decided(1000)).reason == "BUDGET_SPENT"
    assert await lines(running) == [("hand", pb.UNIT_TOKENS, 100, 0, 61)]


async def test_what_no_budget_counts_needs_no_reservation(running: Running) -> None:
    await ready(running)
    assert not (await running.call("ReserveBudget", reserve())).HasField("reservation")


async def test_an_agent_reserves_and_settles_only_its_own(running: Running) -> None:
    for agent_id in ("sre-1", "sre-2"):
        await ready(running, agent_id)
    await budget(running, limit(pb.UNIT_TOKENS, 100), scope=pb.BUDGET_SCOPE_TENANT, scope_id="")
    mine, theirs = await token(running), await token(running, "sre-2")
    with pytest.raises(Unauthenticated) as missing:
        await running.call("ReserveBudget", reserve(), **OPERATOR)
    assert missing.value.reason == "TOKEN_MISSING"
    with pytest.raises(Unauthenticated):
        await running.call("ReserveBudget", reserve("sre-2", session_token=mine), **OPERATOR)
    made = (await running.call("ReserveBudget", reserve(session_token=mine), **OPERATOR)).reservation
    for wrong, fault in ((theirs, NotFound), ("", Unauthenticated), ("forged", Unauthenticated)):
        request = pb.SettleReservationRequest(reservation_id=made.reservation_id, session_token=wrong)
        with pytest.raises(fault):
            await running.call("SettleReservation", request, **ADMIN)
    own = pb.SettleReservationRequest(reservation_id=made.reservation_id, session_token=mine, whole=True)
    assert (await running.call("SettleReservation", own, **OPERATOR)).end == pb.RESERVATION_END_SETTLED
    assert await lines(running) == [("hand", pb.UNIT_TOKENS, 100, 10, 0)]


async def test_an_agent_gives_nothing_back_that_its_runs_were_granted(running: Running) -> None:
    await ready(running)
    await budget(running, limit(pb.UNIT_ACTIONS, 2))
    mine = await token(running)
    own = pb.AuthorizeRequest(context=context(), action=action(), session_token=mine)
    theirs, itself = await ask(running), (await running.call("Authorize", own, **OPERATOR)).decision
    for decision in (theirs, itself):
        for fields in ({}, {"whole": True}, {"spent": pb.Amounts(actions=1)}):
            settle = pb.SettleReservationRequest(
                reservation_id=decision.reservation_id,
                session_token=mine,
                **fields,
            )
            with pytest.raises(Denied) as refused:
                await running.call("SettleReservation", settle, **OPERATOR)
            assert refused.value.reason == "CALLER_NOT_ALLOWED"
    assert await lines(running) == [("hand", pb.UNIT_ACTIONS, 2, 0, 2)]
    assert (await ask(running)).reason == "BUDGET_SPENT"
    whole = pb.SettleReservationRequest(reservation_id=theirs.reservation_id, whole=True)
    assert (await running.call("SettleReservation", whole)).end == pb.RESERVATION_END_SETTLED


async def test_what_a_service_has_reserved_for_an_agent_is_not_the_agents_to_settle(running: Running) -> None:
    await ready(running)
    await budget(running, limit(pb.UNIT_TOKENS, 100))
    mine = await token(running)
    asked = reserve(request_id="same")
    services = (await running.call("ReserveBudget", asked)).reservation
    asked.session_token = mine
    agents = (await running.call("ReserveBudget", asked, **OPERATOR)).reservation
    assert (services.by_agent, agents.by_agent) == (False, True)
    assert services.reservation_id != agents.reservation_id, "its own request gets nothing of a service's"
    settle = pb.SettleReservationRequest(reservation_id=services.reservation_id, session_token=mine)
    with pytest.raises(Denied):
        await running.call("SettleReservation", settle, **OPERATOR)
    settle.reservation_id = agents.reservation_id
    assert (await running.call("SettleReservation", settle, **OPERATOR)).end == pb.RESERVATION_END_REFUNDED
    assert await lines(running) == [("hand", pb.UNIT_TOKENS, 100, 0, 10)]


async def test_an_agent_reserves_for_the_task_of_its_packet_alone(running: Running) -> None:
    await ready(running)
    await running.register("idle")
    await budget(running, limit(pb.UNIT_TOKENS, 10), scope=pb.BUDGET_SCOPE_TASK, scope_id="others")
    for agent_id, task_id in (("sre-1", "others"), ("sre-1", "made-up"), ("idle", "task-1")):
        wanted = pb.ReserveBudgetRequest(
            context=context(agent_id, task_id=task_id),
            amounts=pb.Amounts(tokens=1),
            session_token=await token(running, agent_id),
        )
        with pytest.raises(Refused) as refused:
            await running.call("ReserveBudget", wanted, **OPERATOR)
        assert refused.value.reason == "NO_PACKET"
    assert await lines(running, task_id="others") == [("hand", pb.UNIT_TOKENS, 10, 0, 0)]


async def test_nobody_spends_anothers_run(running: Running) -> None:
    await ready(running)
    await ready(running, "evil")
    await budget(running, limit(pb.UNIT_ACTIONS, 2), scope=pb.BUDGET_SCOPE_RUN, scope_id="run-1")
    theirs = await token(running, "evil")
    taken = reserve("evil", session_token=theirs, amounts=pb.Amounts(actions=1), ttl_seconds=86_400)
    assert (await running.call("ReserveBudget", taken, **OPERATOR)).HasField("reservation")
    own = pb.AuthorizeRequest(context=context("evil"), action=action(), session_token=theirs)
    reasons = []
    for _ in range(2):
        own.request_id = ""
        reasons.append((await running.call("Authorize", own, **OPERATOR)).decision.reason)
    assert reasons == ["ALLOWED_BY_TIER", "BUDGET_SPENT"]
    assert [(await ask(running)).verdict for _ in range(3)] == [ALLOW, ALLOW, DENY]
    listed = await running.call("ListBudgets", pb.ListBudgetsRequest(run_id="run-1"))
    assert [(each.agent_id, each.lines[0].reserved) for each in listed.budgets] == [("evil", 2), ("sre-1", 2)]


async def test_only_admins_set_budgets_and_nobody_is_exempt(running: Running) -> None:
    await ready(running)
    request = pb.SetBudgetRequest(scope=pb.BUDGET_SCOPE_TENANT, limits=[limit(pb.UNIT_ACTIONS, 0)])
    for roles in (("operator",), ("approver",), ("service",)):
        with pytest.raises(Denied):
            await running.call("SetBudget", request, actor="key:x", roles=roles)
    set_ = await running.call("SetBudget", request, **ADMIN)
    assert set_.budget.budget_id == "hand"
    authorize = pb.AuthorizeRequest(context=context(), action=action(), session_token=await token(running))
    for roles in (("admin",), ("operator",), ("service",)):
        authorize.request_id = ""
        decision = (await running.call("Authorize", authorize, actor="key:x", roles=roles)).decision
        assert decision.reason == "BUDGET_SPENT"
    back = pb.SetBudgetRequest(scope=pb.BUDGET_SCOPE_TENANT)
    await running.call("SetBudget", back, **ADMIN)
    assert (await ask(running)).verdict == ALLOW
    assert await lines(running) == []


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"limits": [limit(pb.UNIT_ACTIONS, -1)]}, "AMOUNT_INVALID"),
        ({"limits": [limit(pb.UNIT_TOKENS, 2**62)]}, "AMOUNT_INVALID"),
        ({"limits": [limit(pb.UNIT_HOSTS, 5000)]}, "AMOUNT_INVALID"),
        ({"limits": [limit(pb.UNIT_ACTIONS, 1)] * 2}, "AMOUNT_INVALID"),
        ({"limits": [limit(pb.UNIT_UNSPECIFIED, 1)]}, "FIELD_INVALID"),
        ({"limits": [limit(pb.UNIT_ACTIONS, 1)], "window_seconds": -5}, "AMOUNT_INVALID"),
        ({"scope": pb.BUDGET_SCOPE_UNSPECIFIED}, "FIELD_INVALID"),
        ({"scope": pb.BUDGET_SCOPE_TENANT, "scope_id": "x"}, "FIELD_INVALID"),
        ({"scope": pb.BUDGET_SCOPE_RUN, "scope_id": ""}, "FIELD_MISSING"),
    ],
)
async def test_a_limit_that_cannot_be_is_refused(
    running: Running, fields: dict[str, Any], reason: str
) -> None:
    wanted: dict[str, Any] = {"scope": pb.BUDGET_SCOPE_AGENT, "scope_id": "sre-1"} | fields
    with pytest.raises(Invalid) as refused:
        await running.call("SetBudget", pb.SetBudgetRequest(**wanted), **ADMIN)
    assert refused.value.reason == reason
    assert await lines(running, page_size=10) == []


async def test_what_nobody_settles_is_charged_whole(running: Running, clock: Clock) -> None:
    await ready(running)
    await budget(running, limit(pb.UNIT_TOKENS, 100))
    made = (await running.call("ReserveBudget", reserve(ttl_seconds=30))).reservation
    assert await running.policy.spending.expire(clock() + timedelta(seconds=20)) == 0
    assert await running.policy.spending.expire(clock() + timedelta(seconds=40)) == 1
    assert await running.policy.spending.expire(clock() + timedelta(seconds=50)) == 0
    assert await lines(running) == [("hand", pb.UNIT_TOKENS, 100, 10, 0)]
    with pytest.raises(Refused) as late:
        await running.call(
            "SettleReservation", pb.SettleReservationRequest(reservation_id=made.reservation_id)
        )
    assert late.value.reason == "RESERVATION_CLOSED"
    whole = pb.SettleReservationRequest(reservation_id=made.reservation_id, whole=True)
    assert (await running.call("SettleReservation", whole)).end == pb.RESERVATION_END_EXPIRED


async def test_who_is_revoked_has_nothing_set_aside_and_may_have_spent_all_of_it(running: Running) -> None:
    await ready(running)
    await budget(running, limit(pb.UNIT_TOKENS, 100), limit(pb.UNIT_ACTIONS, 9))
    await running.call("ReserveBudget", reserve())
    await ask(running)
    cause = Cause("default", "r", "service:policy", process.now())
    assert await running.policy.spending.close_of("sre-1", cause) == 2
    assert await running.policy.spending.close_of("sre-1", cause) == 0
    assert await lines(running) == [("hand", pb.UNIT_ACTIONS, 9, 1, 0), ("hand", pb.UNIT_TOKENS, 100, 10, 0)]


async def test_nothing_is_set_aside_once_a_revocation_has_closed_what_was(running: Running) -> None:
    await ready(running)
    await budget(running, limit(pb.UNIT_TOKENS, 100))
    append = running.log.append

    async def and_revoke(stream: Any, events: Any, **rest: Any) -> Any:
        if stream.aggregate == "budget":
            running.log.append = append  # type: ignore[method-assign]
            await running.call("RevokeAgent", pb.RevokeAgentRequest(agent_id="sre-1"))
            cause = Cause("default", "r", "service:policy", process.now())
            assert await running.policy.spending.close_of("sre-1", cause) == 0, "nobody knows of it yet"
        return await append(stream, events, **rest)

    running.log.append = and_revoke  # type: ignore[method-assign]
    with pytest.raises(Refused) as refused:
        await running.call("ReserveBudget", reserve())
    assert refused.value.reason == "AGENT_REVOKED"
    assert await lines(running) == [("hand", pb.UNIT_TOKENS, 100, 10, 0)]


async def test_what_was_set_aside_for_a_decision_that_nobody_is_given_is_given_back(running: Running) -> None:
    await ready(running)
    await budget(running, limit(pb.UNIT_ACTIONS, 5))
    append = running.log.append

    async def and_suspend(stream: Any, events: Any, **rest: Any) -> Any:
        appended = await append(stream, events, **rest)
        if stream.aggregate == "budget":
            running.log.append = append  # type: ignore[method-assign]
            await running.call("SuspendAgent", pb.SuspendAgentRequest(agent_id="sre-1", why="wait"), **ADMIN)
        return appended

    running.log.append = and_suspend  # type: ignore[method-assign]
    decision = await ask(running)
    assert (decision.reason, decision.reservation_id) == ("AGENT_SUSPENDED", "")
    assert await lines(running) == [("hand", pb.UNIT_ACTIONS, 5, 0, 0)]


async def error_recorded(running: Running) -> int:
    """As state records one; returns its sequence."""
    event = state_events_pb2.ErrorRecorded(
        agent_id="sre-1", task_id="task-1", run_id="run-1", error_type="ACTUATOR_FAILED"
    )
    event.at.FromDatetime(process.now())
    headers = b"NATS/1.0\r\nce-type: provost.state.v1.ErrorRecorded\r\n\r\n"
    return running.log.put("evt.default.state.agent.sre-1.ErrorRecorded", event.SerializeToString(), headers)


async def test_a_loop_of_the_same_failing_call_is_stopped_before_the_call(running: Running) -> None:
    await ready(running)
    await budget(running, limit(pb.UNIT_ERRORS, 3))
    called = 0
    decision = await ask(running)
    while decision.verdict == ALLOW:
        called += 1
        decision = await ask(running, at_least_sequence=await error_recorded(running))
    assert called == 3
    assert decision.reason == "BUDGET_SPENT"
    assert "allows 3 ERRORS: 3 spent" in decision.explanation
    assert await lines(running) == [("hand", pb.UNIT_ERRORS, 3, 3, 0)]


async def test_hosts_are_the_different_targets_touched(running: Running) -> None:
    await ready(running)
    await budget(running, limit(pb.UNIT_HOSTS, 2))
    verdicts = []
    for target in ("web-1", "web-1", "web-2", "web-3", "web-2"):
        request = pb.AuthorizeRequest(context=context(), action=action(target=target))
        verdicts.append((await running.call("Authorize", request)).decision.verdict)
    assert verdicts == [ALLOW, ALLOW, ALLOW, DENY, ALLOW]


async def test_a_window_begins_anew(running: Running) -> None:
    await ready(running)
    answer = await budget(running, limit(pb.UNIT_ACTIONS, 1), window_seconds=86_400 * 365)
    assert answer.budget.HasField("window_start_time")
    await ask(running)
    assert "it begins anew at 20" in (await ask(running)).explanation


async def test_lists_come_in_pages_and_tenants_are_apart(running: Running) -> None:
    await ready(running)
    for n in range(5):
        await budget(running, limit(pb.UNIT_ACTIONS, n), scope=pb.BUDGET_SCOPE_TASK, scope_id=f"task-{n}")
    seen: list[str] = []
    page = pb.ListBudgetsResponse(next_page_token="")
    while True:
        request = pb.ListBudgetsRequest(page_size=2, page_token=page.next_page_token)
        page = await running.call("ListBudgets", request)
        seen += [each.scope_id for each in page.budgets]
        if not page.next_page_token:
            break
    assert seen == [f"task-{n}" for n in range(5)]
    assert not (await running.call("ListBudgets", pb.ListBudgetsRequest(), tenant="other")).budgets
    with pytest.raises(Invalid):
        await running.call("ListBudgets", pb.ListBudgetsRequest(page_token="made up"))


SET = """
budgets:
  - id: tokens
    scope: agent
    tiers: [T1_OPERATOR]
    limits: {tokens: 100}
    window_seconds: 31536000
  - id: wide
    scope: tenant
    limits: {actions: 1000}
prices:
  "diagnostics.*": {tokens: 40}
"""


async def publish(running: Running, more: str) -> None:
    shown = await running.call("GetPolicySet", pb.GetPolicySetRequest())
    document = shown.document.replace('version: "1"', 'version: "2"') + more
    request = pb.PublishPolicySetRequest(document=document, replaces_version=shown.version)
    await running.call("PublishPolicySet", request, **ADMIN)


async def test_the_set_says_who_may_spend_what_and_what_things_cost(running: Running) -> None:
    await ready(running)
    await running.register("chief", pb.TIER_T2_BUILDER)
    await running.packet("chief")
    await publish(running, SET)
    decisions = [await ask(running) for _ in range(3)]
    assert [each.verdict for each in decisions] == [ALLOW, ALLOW, DENY]
    assert decisions[2].rule == "budget.set.tokens"
    assert (
        "allows 100 TOKENS: 0 spent, 80 set aside, 40 asked for; it begins anew at"
        in decisions[2].explanation
    )
    assert (await ask(running, agent_id="chief")).verdict == ALLOW, "another tier has another budget"
    await budget(running, limit(pb.UNIT_ACTIONS, 1), scope=pb.BUDGET_SCOPE_TENANT, scope_id="")
    tight = [
        await ask(running, agent_id="chief") for _ in range(2)
    ]  # what was before it is not counted in it
    assert [each.verdict for each in tight] == [ALLOW, DENY]
    assert tight[1].rule == "budget.hand", "the tightest holds"
    assert await lines(running) == [
        ("set.tokens", pb.UNIT_TOKENS, 100, 0, 80),
        ("hand", pb.UNIT_ACTIONS, 1, 0, 1),
        ("set.wide", pb.UNIT_ACTIONS, 1000, 0, 4),
    ]
    whole = pb.SettleReservationRequest(reservation_id=decisions[0].reservation_id, whole=True)
    await running.call("SettleReservation", whole)
    assert (await lines(running))[0] == ("set.tokens", pb.UNIT_TOKENS, 100, 40, 40)


async def test_hosts_are_counted_and_kept_sealed(running: Running) -> None:
    await ready(running)
    await budget(running, limit(pb.UNIT_HOSTS, 1))
    seal = await running.keys.of_subject("default", "alice")
    verdicts = []
    for target in ("203.0.113.77", "203.0.113.77", "203.0.113.78"):
        under = context(subject_key=seal.key_id)
        request = pb.AuthorizeRequest(context=under, action=action(target=target))
        verdicts.append((await running.call("Authorize", request)).decision.verdict)
    assert verdicts == [ALLOW, ALLOW, DENY]
    for target, verdict in (("203.0.113.77", ALLOW), ("203.0.113.78", DENY)):
        said = await running.call(
            "Explain",
            pb.ExplainRequest(context=context(subject_key=seal.key_id), action=action(target=target)),
        )
        assert said.decision.verdict == verdict, "as Authorize, which knows the host by its seal"
        assert said.decision.action_digest.startswith("sha256:"), "nothing to try guesses with"
    assert await lines(running) == [("hand", pb.UNIT_HOSTS, 1, 0, 1)]
    assert b"203.0.113" not in b"".join(each.payload for each in running.log.recorded())
    (host,) = {
        host for each in await drawn(running) for one in each.reservations for host in one.amounts.hosts
    }
    assert seal.open(host) == "203.0.113.77"


async def test_limits_for_an_agent_that_nobody_knows_would_limit_nobody(running: Running) -> None:
    slip = pb.SetBudgetRequest(
        scope=pb.BUDGET_SCOPE_AGENT, scope_id="sre1", limits=[limit(pb.UNIT_ACTIONS, 1)]
    )
    with pytest.raises(NotFound) as refused:
        await running.call("SetBudget", slip, **ADMIN)
    assert refused.value.reason == "AGENT_UNKNOWN"
