"""Whatever many ask for at once goes through the door, and leaves it whatever becomes of it."""

from typing import Any

import pytest

from kernel.faults import Fault
from provost.policy.v1 import policy_pb2 as pb
from services.policy.rpc.door import Door, Turn
from tests.rpc.policy.conftest import Running, action, context
from tests.rpc.policy.test_stream import opened
from tests.rpc.policy.test_stream import request as streamed


@pytest.fixture
def doors(monkeypatch: pytest.MonkeyPatch) -> list[Door]:
    """The door of each turn that is taken."""
    found: list[Door] = []

    def turn(door: Door) -> Turn:
        found.append(door)
        return Turn(door)

    monkeypatch.setattr(Door, "turn", turn)
    return found


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        ("Authorize", pb.AuthorizeRequest(context=context(), action=action())),
        ("Authorize", pb.AuthorizeRequest()),
        ("BatchAuthorize", pb.BatchAuthorizeRequest(context=context(), actions=[action()])),
        ("BatchAuthorize", pb.BatchAuthorizeRequest()),
        ("ReserveBudget", pb.ReserveBudgetRequest(context=context(), amounts=pb.Amounts(actions=1))),
        ("ReserveBudget", pb.ReserveBudgetRequest()),
        ("SettleReservation", pb.SettleReservationRequest(reservation_id="none", whole=True)),
        ("SettleReservation", pb.SettleReservationRequest()),
    ],
)
async def test_each_takes_a_turn_and_ends_it(
    running: Running, doors: list[Door], method: str, request_: Any
) -> None:
    try:
        await running.call(method, request_)
    except Fault as fault:
        assert fault.reason != "INTERNAL"  # noqa: PT017 - what it is refused for is told elsewhere
    (door,) = doors
    assert door._party.inside == 0


async def test_so_does_each_request_of_a_stream(running: Running, doors: list[Door]) -> None:
    await running.register()
    asked = [streamed(0), streamed(1, action=pb.Action()), streamed(2)]
    assert len([each async for each in opened(running, asked)]) == 3
    assert len(doors) == 3
    assert doors[0]._party.inside == 0
