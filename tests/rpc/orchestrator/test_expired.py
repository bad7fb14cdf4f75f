"""A permit that ran out on its way, the actuators being away: neither an effect nor an error of the agent."""

from typing import Any

import pytest
from pydantic import SecretStr

from chassis import process
from chassis.config import ServiceSettings
from chassis.rpc import client
from chassis.rpc.server import Server
from kernel.events import Cause
from kernel.faults import Unauthenticated, Unavailable
from provost.orchestrator.v1.actuator_pb2_grpc import (
    add_ActuatorServiceServicer_to_server,
)
from services.orchestrator.adapters.actuators import GrpcActuators
from services.orchestrator.domain.phases import RunState
from services.orchestrator.domain.records import Action, Effect, EffectState, Mode
from tests.unit.orchestrator.doors import FakeActuators, Outage
from tests.unit.orchestrator.house import TENANT, house, peers

KEY = "k" * 32


class Refusing:
    def __init__(self, reason: str) -> None:
        self.reason = reason

    async def PerformAction(self, request: Any, context: Any) -> Any:
        raise Unauthenticated(self.reason, "the permit was refused")

    PreviewAction = PreviewActions = ListActuators = PerformAction


async def performed(reason: str) -> Effect:
    server = Server(ServiceSettings(_env_file=None, internal_key=SecretStr(KEY)), "actuators", port=0)
    refusing: Any = Refusing(reason)
    server.add(add_ActuatorServiceServicer_to_server, refusing)
    await server.start()
    cause = Cause(TENANT, "r", "service:tests", process.now(), "run-1")
    try:
        async with client.channel(f"127.0.0.1:{server.port}", internal_key=KEY) as channel:
            door = GrpcActuators(channel, cause)
            return await door.perform(
                "e1", Action("a1", "diagnostics.memory", "localhost", "sandbox"), "p", b"", cause
            )
    finally:
        await server.stop()


async def test_a_permit_that_ran_out_is_no_effect() -> None:
    with pytest.raises(Unavailable) as told:
        await performed("PERMIT_EXPIRED")
    assert told.value.reason == "PERMIT_EXPIRED"
    assert (await performed("PERMIT_INVALID")).state is EffectState.REFUSED


class Away(FakeActuators):
    """Each effect comes to them only when its first permit has run out."""

    def __init__(self, outage: Outage) -> None:
        super().__init__(outage)
        self.late: dict[str, str] = {}

    async def perform(
        self, effect_id: str, action: Action, permit: str, journal_key: bytes, cause: Cause
    ) -> Effect:
        if effect_id not in self.late:
            self.late[effect_id] = permit
            raise Unavailable("PERMIT_EXPIRED", "the permit was refused")
        return await super().perform(effect_id, action, permit, journal_key, cause)


async def test_the_run_goes_on_with_a_new_permit_and_its_agent_pays_nothing() -> None:
    at = peers()
    at.actuators = away = Away(at.outage)
    async with house(at) as it:
        run = (await it.process(Mode.AUTO)).run
        assert run.state is RunState.COMPLETED
        assert away.late.keys() == away.done.keys()
        permitted = [each.decision_id for each in at.policy.decided if each.permit]
        assert len(set(permitted)) == 2 * len(away.done), "policy was asked anew about each"
        assert it.conductor._driving.revoked == {}
    assert at.state.errors == []
