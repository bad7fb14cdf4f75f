"""Budgets, and who would have more of them: asking again gives nothing back that somebody has been given."""

from typing import Any

import pytest

from chassis.eventlog.follower import FollowerState
from kernel.faults import Unavailable
from provost.policy.v1 import policy_pb2 as pb
from tests.rpc.policy.conftest import Running, action, context
from tests.rpc.policy.test_budgets import (
    ADMIN,
    ALLOW,
    OPERATOR,
    ask,
    budget,
    error_recorded,
    limit,
    lines,
    ready,
    token,
)
from tests.rpc.policy.test_moved import Move, behind_the_commit

MADE_UP = 2**62


@pytest.fixture(autouse=True)
async def agent(running: Running) -> None:
    await ready(running)


async def own(running: Running, session: str, request_id: str, **fields: Any) -> pb.Decision:
    """As the agent asks by itself."""
    request = pb.AuthorizeRequest(
        request_id=request_id, context=context(**fields), action=action(), session_token=session
    )
    decision: pb.Decision = (await running.call("Authorize", request, **OPERATOR)).decision
    return decision


async def test_nobody_gets_back_what_was_set_aside_by_asking_again_under_a_lock_that_is_not_there(
    running: Running,
) -> None:
    await budget(running, limit(pb.UNIT_ACTIONS, 2))
    session = await token(running)
    allowed = 0
    for n in range(4):
        allowed += (await own(running, session, f"q{n}")).verdict == ALLOW
        again = await own(running, session, f"q{n}", fencing_token=MADE_UP)
        assert (again.reason, again.reservation_id) == ("FENCING_TOKEN_STALE", "")
    assert allowed == 2
    assert await lines(running) == [("hand", pb.UNIT_ACTIONS, 2, 0, 2)]


async def test_nothing_is_set_aside_under_a_lock_that_is_not_there(running: Running) -> None:
    await budget(running, limit(pb.UNIT_ACTIONS, 2))
    assert (await ask(running, fencing_token=MADE_UP)).reason == "FENCING_TOKEN_STALE"
    assert [each.event_type for each in running.log.recorded()].count("ReservationsClosed") == 0
    assert await lines(running) == [("hand", pb.UNIT_ACTIONS, 2, 0, 0)]


async def test_what_an_agent_asks_under_the_id_of_a_services_request_is_another_request(
    running: Running,
) -> None:
    await budget(running, limit(pb.UNIT_ACTIONS, 1))
    theirs = await ask(running, "theirs")
    assert (await own(running, await token(running), "theirs")).reason == "BUDGET_SPENT"
    whole = pb.SettleReservationRequest(reservation_id=theirs.reservation_id, whole=True)
    assert (await running.call("SettleReservation", whole)).end == pb.RESERVATION_END_SETTLED


async def suspended(running: Running) -> None:
    await running.call("SuspendAgent", pb.SuspendAgentRequest(agent_id="sre-1"), **ADMIN)


async def another_packet(running: Running) -> None:
    await running.packet(forbidden=["diagnostics.*"])


@pytest.mark.parametrize(
    ("move", "reason"), [(suspended, "AGENT_SUSPENDED"), (another_packet, "FORBIDDEN_BY_PACKET")]
)
async def test_what_somebody_has_been_given_is_not_given_back_when_the_same_is_refused_later(
    running: Running, move: Move, reason: str
) -> None:
    await budget(running, limit(pb.UNIT_ACTIONS, 1))
    first = await ask(running, "once")
    behind_the_commit(running, move)
    again = await ask(running, "once", fencing_token=2)
    assert (again.reason, again.reservation_id) == (reason, "")
    whole = pb.SettleReservationRequest(reservation_id=first.reservation_id, whole=True)
    assert (await running.call("SettleReservation", whole)).end == pb.RESERVATION_END_SETTLED


async def test_what_moves_without_end_keeps_nothing_set_aside(running: Running) -> None:
    async def moves(running: Running) -> None:
        await running.packet(scope=["diagnostics.*"])

    await budget(running, limit(pb.UNIT_ACTIONS, 1))
    behind_the_commit(running, *[moves] * 60)
    with pytest.raises(Unavailable) as refused:
        await ask(running)
    assert refused.value.reason == "APPEND_CONFLICT"
    assert await lines(running) == [("hand", pb.UNIT_ACTIONS, 1, 0, 0)]


async def given_back(running: Running, decision: pb.Decision) -> None:
    nothing = pb.SettleReservationRequest(reservation_id=decision.reservation_id)
    assert (await running.call("SettleReservation", nothing)).end == pb.RESERVATION_END_REFUNDED


async def test_what_was_given_back_and_is_asked_for_again_is_set_aside_again(running: Running) -> None:
    await budget(running, limit(pb.UNIT_ACTIONS, 1))
    first = await ask(running, "once")
    await given_back(running, first)
    again = await ask(running, "once")
    assert (again.verdict, again.reservation_id) == (ALLOW, first.reservation_id)
    assert await lines(running) == [("hand", pb.UNIT_ACTIONS, 1, 0, 1)]
    await given_back(running, again)
    assert (await ask(running, "another")).verdict == ALLOW
    assert (await ask(running, "once")).reason == "BUDGET_SPENT"


async def test_who_asks_again_behind_an_error_is_told_of_a_limit_of_errors(running: Running) -> None:
    await budget(running, limit(pb.UNIT_ERRORS, 1), limit(pb.UNIT_ACTIONS, 5))
    await given_back(running, await ask(running, "once"))
    sequence = await error_recorded(running)
    assert (await ask(running, "once", at_least_sequence=sequence)).reason == "BUDGET_SPENT"


async def test_what_is_set_aside_still_is_answered_again_and_nothing_is_written(running: Running) -> None:
    await budget(running, limit(pb.UNIT_ACTIONS, 1))
    first = await ask(running, "once")
    end = await running.log.last_sequence()
    again = await ask(running, "once")
    assert (again.decision_id, again.reservation_id) == (first.decision_id, first.reservation_id)
    assert await running.log.last_sequence() == end


async def test_who_follows_no_more_does_not_say_of_a_lock_that_it_is_not_there(running: Running) -> None:
    running.follower.state = FollowerState.HALTED
    with pytest.raises(Unavailable) as refused:
        await ask(running, fencing_token=running.follower.position + 1)
    assert refused.value.reason == "FOLLOWER_HALTED"
    assert [each.event_type for each in running.log.recorded()].count("DecisionsMade") == 0
