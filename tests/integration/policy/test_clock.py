"""Fault 17: the clock of policy jumps ten minutes either way. The order is the log's; tokens fail with clear words."""

from datetime import UTC
from pathlib import Path

import pytest

from chassis.eventlog.wire import Connection
from kernel.faults import Unauthenticated, Unavailable
from provost.policy.v1 import policy_pb2 as pb
from tests.fakes.nats_server import NatsServer
from tests.integration.policy.conftest import PolicyProcess
from tests.integration.policy.test_crash import Caller, ask, put_packet

OFFSET = "PROVOST_CLOCK_OFFSET_SECONDS"


async def test_fault_17_a_clock_that_jumps_back_and_forth(
    tmp_path: Path, nats_server: NatsServer, events: Connection
) -> None:
    sequences: list[int] = []
    token = ""
    for offset in (-600, 600, -600):
        policy = PolicyProcess(tmp_path, nats_server.url, **{OFFSET: str(offset)})
        policy.start()
        try:
            async with policy.channel() as channel:
                caller = Caller(channel)
                if not token:
                    token = await _prepared(caller, events)
                    await _allowed(caller, sequences, token)
                    revoke = pb.RevokeAgentRequest(request_id="v", agent_id="sre-2", kind="operator")
                    sequences.append((await caller.call("RevokeAgent", revoke)).sequence)
                    continue
                # Twenty minutes later the token has run out; ten minutes before it was given, it is good again.
                if offset > 0:
                    with pytest.raises(Unauthenticated) as refused:
                        await _allowed(caller, sequences, token)
                    assert refused.value.reason == "TOKEN_EXPIRED"
                    later = await _session(caller, "later")
                else:
                    await _allowed(caller, sequences, token)
                    with pytest.raises(Unauthenticated) as refused:
                        await _allowed(caller, sequences, later)
                    assert refused.value.reason == "TOKEN_INVALID"
                    assert "not valid yet (is a clock wrong?)" in refused.value.text
                # Revoked by a clock ahead or behind, it is revoked: what counts is where the event stands.
                asked = pb.AuthorizeRequest(context=pb.RunContext(), action=ask("x").action)
                asked.context.CopyFrom(ask("x").context)
                asked.context.agent_id = "sre-2"
                answer = await caller.call("Authorize", asked)
                assert answer.decision.reason == "AGENT_REVOKED"
                sequences.append(answer.sequence)
        finally:
            policy.stop()
    assert sequences == sorted(sequences)
    assert len(set(sequences)) == len(sequences) == 5


async def _prepared(caller: Caller, events: Connection) -> str:
    for agent_id in ("sre-1", "sre-2"):
        register = pb.RegisterAgentRequest(
            agent_id=agent_id, tier=pb.TIER_T3_EXECUTOR
        )  # 15 minutes a session
        await caller.call("RegisterAgent", register)
        sequence = await put_packet(events, agent_id)
    await caller.call("GetAgent", pb.GetAgentRequest(agent_id="sre-1", at_least_sequence=sequence))
    return await _session(caller, "first")


async def _session(caller: Caller, request_id: str) -> str:
    made = await caller.call("CreateSecret", pb.CreateSecretRequest(agent_id="sre-1"))
    session = pb.CreateSessionRequest(request_id=request_id, role_id=made.role_id, secret_id=made.secret_id)
    return str((await caller.call("CreateSession", session)).session_token)


async def _allowed(caller: Caller, sequences: list[int], token: str) -> None:
    request = ask(f"a{len(sequences)}", session_token=token)
    answer = await caller.call("Authorize", request, actor="key:agent", roles=("operator",))
    assert answer.decision.verdict == pb.VERDICT_ALLOW
    sequences.append(answer.sequence)


async def test_a_replica_ten_years_ahead_counts_nothing_in_budgets_and_the_others_go_on(
    policy: PolicyProcess,
    nats_server: NatsServer,
    events: Connection,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    wrong = PolicyProcess(tmp_path_factory.mktemp("wrong"), nats_server.url, **{OFFSET: str(3650 * 86_400)})
    wrong.start()
    try:
        async with policy.channel() as channel, wrong.channel() as ahead:
            caller, other = Caller(channel), Caller(ahead)
            await _prepared(caller, events)
            a_day = pb.SetBudgetRequest(
                scope=pb.BUDGET_SCOPE_TENANT,
                limits=[pb.Limit(unit=pb.UNIT_ACTIONS, most=100)],
                window_seconds=86_400,
            )
            made = await caller.call("SetBudget", a_day, roles=("admin",))
            first = (await caller.call("Authorize", ask("a1"))).decision
            settle = pb.SettleReservationRequest(reservation_id=first.reservation_id)
            a_day.limits[0].most = 5
            calls = (
                ("Authorize", ask("a2", sequence=made.sequence), ("service",)),
                ("SettleReservation", settle, ("service",)),
                ("SetBudget", a_day, ("admin",)),
            )
            for method, request, roles in calls:
                with pytest.raises(Unavailable) as refused:
                    await other.call(method, request, roles=roles)
                assert refused.value.reason == "CLOCK_WRONG", method
            assert (await caller.call("Authorize", ask("a3"))).decision.verdict == pb.VERDICT_ALLOW
            (shown,) = (await caller.call("ListBudgets", pb.ListBudgetsRequest())).budgets
            assert shown.window_start_time.ToDatetime(UTC) == made.budget.window_start_time.ToDatetime(UTC)
            assert (shown.lines[0].spent, shown.lines[0].reserved) == (0, 2), (
                "what it may not charge waits still"
            )
    finally:
        wrong.stop()
