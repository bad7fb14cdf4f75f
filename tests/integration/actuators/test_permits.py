"""Between policy and what acts: only a permit that policy signed for this, and only while the agent has its power."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from chassis import process
from chassis.eventlog.wire import Connection
from chassis.rpc import client
from kernel.events import Cause
from kernel.faults import Denied, Fault, Unauthenticated
from provost.orchestrator.v1 import actuator_pb2
from provost.orchestrator.v1.actuator_pb2_grpc import ActuatorServiceStub
from provost.policy.v1 import policy_pb2 as pb
from tests.fakes.nats_server import NatsServer
from tests.fakes.partition import Partition
from tests.fakes.wait import until
from tests.integration.actuators.conftest import ActuatorsProcess
from tests.integration.policy.conftest import KEY, PolicyProcess, serving
from tests.integration.policy.test_crash import Caller, ask, put_packet


class World:
    """Policy to ask, hands to act."""

    def __init__(self, policy: grpc.aio.Channel, actuators: grpc.aio.Channel) -> None:
        self.policy = Caller(policy)
        self.hands: Any = ActuatorServiceStub(actuators)

    async def decision(self, request_id: str, **fields: Any) -> pb.Decision:
        decision: pb.Decision = (await self.policy.call("Authorize", ask(request_id, **fields))).decision
        return decision

    async def perform(
        self, effect_id: str, permit: str, *, tenant: str = "default", role: str = "service"
    ) -> int:
        """The state of the effect."""
        request = actuator_pb2.PerformActionRequest(
            effect_id=effect_id, action=ask("any").action, permit=permit
        )
        cause = Cause(tenant, "", "service:tests", process.now(), "run-1")
        answer = await client.call(
            self.hands.PerformAction, request, cause, timeout_seconds=20.0, roles=(role,)
        )
        return int(answer.effect.state)


@pytest.fixture
async def world(
    policy: PolicyProcess, actuators: ActuatorsProcess, events: Connection
) -> AsyncIterator[World]:
    async with (
        policy.channel() as to_policy,
        client.channel(f"127.0.0.1:{actuators.port}", internal_key=KEY) as to_actuators,
    ):
        it = World(to_policy, to_actuators)
        register = pb.RegisterAgentRequest(agent_id="sre-1", tier=pb.TIER_T1_OPERATOR)
        await it.policy.call("RegisterAgent", register)
        await it.decision("first", sequence=await put_packet(events, "sre-1"))
        yield it


async def refused(world: World, effect_id: str, permit: str, **who: str) -> Fault:
    with pytest.raises(Fault) as caught:
        await world.perform(effect_id, permit, **who)
    return caught.value


async def test_a_signed_permit_opens_and_nothing_else_does(world: World) -> None:
    good = (await world.decision("good")).permit
    other = (await world.decision("other", name="diagnostics.disk")).permit
    head, claims, signature = good.split(".")
    forged = f"{head}.{claims}.{signature[:-4]}{'AAAA' if signature[-4:] != 'AAAA' else 'BBBB'}"
    secret = await world.policy.call("CreateSecret", pb.CreateSecretRequest(agent_id="sre-1"))
    opened = pb.CreateSessionRequest(role_id=secret.role_id, secret_id=secret.secret_id)
    session = (await world.policy.call("CreateSession", opened)).session_token
    for permit in ("", forged, session, f"{head}.{claims}."):
        fault = await refused(world, "e1", permit)
        assert (type(fault), fault.reason) == (Unauthenticated, "PERMIT_INVALID")
    assert (await refused(world, "e1", other)).reason == "PERMIT_MISMATCH"
    assert (await refused(world, "e1", good, tenant="rival")).reason == "PERMIT_MISMATCH"
    assert (await refused(world, "e1", good, role="admin")).reason == "ROLE_MISSING"
    assert await world.perform("e1", good) == await world.perform("e1", good) == await world.perform("e1", "")
    assert (await refused(world, "e2", good)).reason == "PERMIT_MISMATCH"


@pytest.mark.alone
async def test_a_permit_dies_with_its_agents_power(world: World, actuators: ActuatorsProcess) -> None:
    permits = [(await world.decision(f"before-{n}")).permit for n in range(200)]
    revoked = await world.policy.call("RevokeAgent", pb.RevokeAgentRequest(agent_id="sre-1"))
    answered = time.monotonic()
    fault: Fault | None = None
    while fault is None:
        assert time.monotonic() - answered < 5, f"still acting {revoked.sequence} was answered 5 s ago"
        try:
            await world.perform(f"e{len(permits)}", permits.pop())
        except Denied as denied:
            fault = denied
    assert fault.reason == "AGENT_REVOKED"
    assert time.monotonic() - answered < 1, "invariant 6: no effect later than 1 s after the answer"
    actuators.kill()
    await asyncio.to_thread(actuators.start)
    assert (await refused(world, "after", permits.pop())).reason == "AGENT_REVOKED"


@pytest.mark.alone
async def test_who_is_cut_off_from_the_log_takes_no_permit_and_does_not_serve(
    policy: PolicyProcess, nats_server: NatsServer, events: Connection, tmp_path: Path
) -> None:
    async with Partition(nats_server.port).standing() as wire, policy.channel() as to_policy:
        actuators = ActuatorsProcess(tmp_path, f"nats://127.0.0.1:{wire.port}", policy.port)
        await asyncio.to_thread(actuators.start)
        try:
            address = f"127.0.0.1:{actuators.port}"
            async with client.channel(address, internal_key=KEY) as to_actuators:
                world = World(to_policy, to_actuators)
                register = pb.RegisterAgentRequest(agent_id="sre-1", tier=pb.TIER_T1_OPERATOR)
                await world.policy.call("RegisterAgent", register)
                await world.decision("first", sequence=await put_packet(events, "sre-1"))
                permit = (await world.decision("before")).permit
                done = (await world.decision("good")).permit
                await world.perform("e1", done)

                wire.cut()
                async with asyncio.timeout(5):
                    assert (await refused_at_last(world, "e1", done)).reason == "DECIDER_STALE"
                await world.policy.call("RevokeAgent", pb.RevokeAgentRequest(agent_id="sre-1", wait_ms=1000))
                assert (await refused(world, "e2", permit)).reason == "DECIDER_STALE"
                await until(lambda: _not(actuators), "who hears nothing does not serve", 15)

                wire.heal()
                await until(lambda: asyncio.to_thread(serving, actuators.port), "it serves again", 20)
                assert (await refused(world, "e2", permit)).reason == "AGENT_REVOKED"
        finally:
            await asyncio.to_thread(actuators.stop)


async def refused_at_last(world: World, effect_id: str, permit: str) -> Fault:
    """What is done already is answered again and again, until it is not."""
    while True:
        try:
            await world.perform(effect_id, permit)
        except Fault as fault:
            return fault


async def _not(actuators: ActuatorsProcess) -> bool:
    return not await asyncio.to_thread(serving, actuators.port)
