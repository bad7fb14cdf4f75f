"""The time machine as it is asked over gRPC, and as it stands before a set that is to go live."""

from collections.abc import AsyncGenerator
from typing import Any

import grpc.aio
import pytest

from chassis.rpc.cause import metadata_of
from chassis.rpc.faults import fault_of
from kernel.events import Cause
from kernel.faults import Denied, Exhausted, Fault, Invalid, NotFound, Refused
from provost.policy.v1 import policy_pb2 as pb
from services.policy.domain.action import Action
from services.policy.domain.decision import Verdict
from services.policy.domain.flips import Flip, Simulated, Simulation, Totals
from tests.fakes.decided_history import AT, DEFAULT, SETS, changed
from tests.fakes.simulations import RecordedSimulations
from tests.fakes.wait import until
from tests.rpc.policy.conftest import Running

ADMIN, AUDITOR, VIEWER = ("admin",), ("auditor",), ("viewer",)
ACTION = Action("a1", "ansible.check", "host-1", "sandbox", {"play": "a"})
FLIP = Flip(
    "d-1", "sre-1", "run-1", ACTION, AT, Verdict.ALLOW, "ALLOWED_BY_TIER", Verdict.DENY, "TIER_TOO_LOW",
    "tier.T1_OPERATOR", "why",
)  # fmt: skip


def totals(flips: int) -> Totals:
    return Totals(
        10, flips, {"ALLOW>DENY": flips}, {"sre-1": flips}, {"ansible.check": flips}, {"erased": 1}, 7, 0.5, 9
    )


async def simulate(running: Running, roles: tuple[str, ...] = AUDITOR, **fields: Any) -> list[Any]:
    """All answers."""
    cause = Cause("default", "", "key:auditor", AT, "run-1")
    call = running.stub.SimulatePolicySet(
        pb.SimulatePolicySetRequest(**fields), timeout=10, metadata=metadata_of(cause, roles=roles)
    )
    try:
        return [each async for each in call]
    except grpc.aio.AioRpcError as error:
        raise fault_of(error) from None


async def test_what_is_found_is_told_as_it_goes(running: Running) -> None:
    running.simulations.tells = [Simulated((FLIP,), totals(1)), Simulated((), totals(1), done=True)]
    request = pb.SimulatePolicySetRequest(document="x", agent_id="sre-1", max_flips=5)
    request.from_time.FromDatetime(AT)
    first, last = await simulate(
        running, document="x", agent_id="sre-1", max_flips=5, from_time=request.from_time
    )
    (flip,) = first.flips
    assert (flip.action.target, flip.before, flip.after) == ("host-1", pb.VERDICT_ALLOW, pb.VERDICT_DENY)
    assert dict(flip.action.parameters) == {"play": "a"}
    assert flip.at.ToDatetime().replace(tzinfo=AT.tzinfo) == AT
    assert (last.done, dict(last.totals.by_change), dict(last.totals.left_out)) == (
        True,
        {"ALLOW>DENY": 1},
        {"erased": 1},
    )
    assert last.totals.decided == 9
    assert running.simulations.asked == [Simulation("default", "x", AT, None, "sre-1", 5)]


async def test_a_version_is_the_document_it_was(running: Running) -> None:
    await simulate(running, version=DEFAULT.version)
    assert running.simulations.asked == [Simulation("default", SETS.default_document)]
    with pytest.raises(NotFound) as unknown:
        await simulate(running, version="never")
    assert unknown.value.reason == "POLICY_SET_UNKNOWN"


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"document": "x", "version": "1"},
        {"document": "x", "max_flips": -1},
        {"document": "x", "max_flips": 10**6},
    ],
)
async def test_what_cannot_be_meant_is_refused(running: Running, fields: dict[str, Any]) -> None:
    with pytest.raises(Invalid) as refused:
        await simulate(running, **fields)
    assert refused.value.reason == "FIELD_INVALID"
    assert running.simulations.asked == []


async def test_times_that_leave_nothing_are_refused(running: Running) -> None:
    request = pb.SimulatePolicySetRequest(document="x")
    request.from_time.FromDatetime(AT)
    with pytest.raises(Invalid):
        await simulate(running, document="x", from_time=request.from_time, to_time=request.from_time)


async def test_who_may_not_is_refused(running: Running) -> None:
    for roles in (VIEWER, ("approver",), ("service",)):
        with pytest.raises(Denied) as refused:
            await simulate(running, roles, document="x")
        assert refused.value.reason == "ROLE_MISSING"


class Endless(RecordedSimulations):
    """What is asked by its document goes on for ever."""

    async def run(self, asked: Simulation) -> AsyncGenerator[Simulated, None]:
        self.running += 1
        try:
            while asked.document == "x":
                yield Simulated((), totals(0))
            yield Simulated((), totals(3), done=True)
        finally:
            self.running -= 1


async def two(running: Running) -> list[Any]:
    """As many simulations as there may be, under way."""
    cause = Cause("default", "", "key:auditor", AT, "run-1")
    calls = [
        running.stub.SimulatePolicySet(
            pb.SimulatePolicySetRequest(document="x"), metadata=metadata_of(cause, roles=AUDITOR)
        )
        for _ in range(2)
    ]
    for call in calls:
        assert not (await call.read()).done
    return calls


async def test_two_at_once_and_no_more_and_places_come_free(running: Running) -> None:
    endless = Endless()
    running.policy.simulating._simulations = endless
    calls = await two(running)
    with pytest.raises(Exhausted) as third:
        await simulate(running, document="x")
    assert third.value.reason == "TOO_MANY_SIMULATIONS"
    for call in calls:
        call.cancel()
    await until(lambda: endless.running == 0, "a simulation goes on though nobody asks any more")


GATED = changed("gated").rstrip() + "\n\npublishing:\n  simulate_days: 7\n  most_flips: 2\n"


async def publish(running: Running, document: str, replaces: str) -> Any:
    request = pb.PublishPolicySetRequest(document=document, replaces_version=replaces)
    return await running.call("PublishPolicySet", request, actor="key:admin", roles=ADMIN)


async def test_a_set_asks_its_successor_to_be_simulated(running: Running) -> None:
    await publish(running, GATED, DEFAULT.version)
    assert running.simulations.asked == []
    running.simulations.tells = [Simulated((FLIP,), totals(1)), Simulated((), totals(3), done=True)]
    with pytest.raises(Refused) as refused:
        await publish(running, changed("next"), "gated")
    fault: Fault = refused.value
    assert (fault.reason, fault.facts["flips"], fault.facts["most_flips"]) == ("TOO_MANY_FLIPS", "3", "2")
    assert "sre-1 ansible.check in sandbox ALLOW > DENY" in fault.facts["examples"]
    assert "host-1" not in fault.text
    (asked,) = running.simulations.asked
    assert asked.from_time is not None
    shown = await running.call("GetPolicySet", pb.GetPolicySetRequest(), roles=VIEWER)
    assert shown.version == "gated"
    running.simulations.tells = [Simulated((), totals(2), done=True)]
    assert (await publish(running, changed("next"), "gated")).version == "next"


async def test_who_only_looks_on_keeps_no_set_from_being_replaced(running: Running) -> None:
    await publish(running, GATED, DEFAULT.version)
    running.policy.simulating._simulations = Endless()
    calls = await two(running)
    with pytest.raises(Refused) as refused:
        await publish(running, changed("next"), "gated")
    assert refused.value.reason == "TOO_MANY_FLIPS", "it was simulated"
    for call in calls:
        call.cancel()


async def test_what_cannot_be_published_anyway_is_refused_before_anything_is_simulated(
    running: Running,
) -> None:
    await publish(running, changed("before"), DEFAULT.version)
    first = await publish(running, GATED, "before")
    running.simulations.tells = [Simulated((), totals(100), done=True)]
    with pytest.raises(Refused) as stale:
        await publish(running, changed("next"), "77")
    assert (stale.value.reason, stale.value.facts["version"]) == ("POLICY_SET_STALE", "gated")
    with pytest.raises(Invalid) as used:
        await publish(running, changed("before") + "\n# other rules\n", "gated")
    assert "'before' was published with other rules" in used.value.text
    again = await publish(running, GATED, "before")
    assert (again.version, again.sequence) == ("gated", first.sequence), (
        "it is in force: nothing is tried anew"
    )
    assert running.simulations.asked == []


async def test_going_back_needs_no_simulation(running: Running) -> None:
    await publish(running, changed("before"), DEFAULT.version)
    await publish(running, GATED, "before")
    running.simulations.tells = [Simulated((), totals(100), done=True)]
    request = pb.RollbackPolicySetRequest(to_version="before", replaces_version="gated")
    back = await running.call("RollbackPolicySet", request, actor="key:admin", roles=ADMIN)
    assert back.version == "before"
    assert running.simulations.asked == []
