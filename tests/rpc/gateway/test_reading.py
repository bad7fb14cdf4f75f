"""Messages over gRPC: nobody's is read before they were let in, and only so many and so large ones at once."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from chassis.rpc import MIB
from provost.gateway.v1 import gateway_pb2
from provost.gateway.v1.gateway_pb2_grpc import GatewayServiceStub
from provost.orchestrator.v1 import orchestrator_pb2 as pb
from provost.orchestrator.v1.orchestrator_pb2_grpc import OrchestratorServiceStub
from provost.policy.v1 import policy_pb2
from services.gateway.handlers import places
from services.gateway.rpc import reading
from tests.fakes.doors import OTHER, VIEWER
from tests.fakes.wait import until
from tests.rpc.gateway.conftest import AS_OPERATOR, Front, as_
from tests.rpc.gateway.test_front import hello, info_of

GET_AGENT = "/provost.policy.v1.PolicyService/GetAgent"
PROCESS_LOG = "/provost.orchestrator.v1.OrchestratorService/ProcessLog"
CHECK = "/grpc.health.v1.Health/Check"


async def refused(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    return error.value


def unary(front: Front, method: str) -> Any:
    return front.channel.unary_unary(method)


def begun(front: Front, method: str, metadata: Any = ()) -> Any:
    """A unary call whose message is not sent yet."""
    return front.channel.stream_unary(method)(metadata=metadata)


@pytest.mark.parametrize(("metadata", "reason"), [((), "KEY_MISSING"), (as_("wrong"), "KEY_UNKNOWN")])
@pytest.mark.parametrize("method", [GET_AGENT, PROCESS_LOG])
async def test_who_is_turned_away_is_so_before_their_message_is_read(
    front: Front, method: str, metadata: Any, reason: str
) -> None:
    async with asyncio.timeout(5):
        assert info_of(await refused(begun(front, method, metadata))).reason == reason


async def test_only_logs_may_be_large(front: Front) -> None:
    much = policy_pb2.GetAgentRequest(agent_id="a" * (5 * MIB)).SerializeToString()
    for method, metadata in ((GET_AGENT, as_(VIEWER)), (CHECK, ())):
        error = await refused(unary(front, method)(much, metadata=metadata))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert info_of(error).reason == "MESSAGE_TOO_LARGE"
    status = GatewayServiceStub(front.channel).GetStatus(gateway_pb2.GetStatusRequest())
    assert (await status).components
    assert not front.peers.policy.heard


async def test_a_message_that_does_not_come_is_not_waited_for_long(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("STRANGERS_SECONDS", "CALLERS_SECONDS", "HELLO_SECONDS"):
        monkeypatch.setattr(reading, name, 0.05)
    waiting = [begun(front, CHECK), begun(front, GET_AGENT, AS_OPERATOR)]
    waiting.append(
        OrchestratorServiceStub(front.channel).AttachAgent(metadata=(("x-tenant", "acme"),)).read()
    )
    for call in waiting:
        assert info_of(await refused(call)).reason == "DEADLINE_EXCEEDED"


async def test_a_call_without_a_message_is_told_so(front: Front) -> None:
    call = begun(front, GET_AGENT, AS_OPERATOR)
    await call.done_writing()
    assert info_of(await refused(call)).reason == "MALFORMED_MESSAGE"


async def test_strangers_who_send_slowly_hold_up_no_key(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "QUEUE_SECONDS", 0.1)
    slow = [begun(front, CHECK) for _ in range(40)]
    first = next(asyncio.as_completed([refused(call) for call in slow]))
    assert info_of(await first).reason == "GATEWAY_BUSY"
    ask = policy_pb2.GetAgentRequest(agent_id="sre-1").SerializeToString()
    assert await unary(front, GET_AGENT)(ask, metadata=AS_OPERATOR)
    for call in slow:
        call.cancel()
    health: Any = health_pb2_grpc.HealthStub(front.channel)

    async def answers() -> bool:
        try:
            return bool((await health.Check(health_pb2.HealthCheckRequest())).status == 1)
        except grpc.aio.AioRpcError:
            return False

    await until(answers, "who goes away gives their place back")


async def test_large_logs_take_the_places_that_rest_takes(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "QUEUE_SECONDS", 0.1)
    stub = OrchestratorServiceStub(front.channel)
    for _ in range(places.LARGE_AT_ONCE):
        await front.large.take()
    error = await refused(stub.ProcessLog(pb.ProcessLogRequest(log=b"x" * (2 * MIB)), metadata=AS_OPERATOR))
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert info_of(error).reason == "GATEWAY_BUSY"
    assert float(info_of(error).metadata["retry_after_seconds"]) > 0
    small = await stub.ProcessLog(pb.ProcessLogRequest(log=b"small"), metadata=AS_OPERATOR)
    assert small.run.source.size_bytes == 5
    front.large.release()
    for _ in range(3):  # each gives its place back
        log = await stub.ProcessLog(pb.ProcessLogRequest(log=b"x" * (2 * MIB)), metadata=as_(OTHER))
        assert log.run.source.size_bytes == 2 * MIB


async def test_streams_of_strangers_are_bounded(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "STREAMS_PER_HOST", 3)
    health: Any = health_pb2_grpc.HealthStub(front.channel)
    watched = [health.Watch(health_pb2.HealthCheckRequest()) for _ in range(3)]
    for each in watched:
        assert (await each.read()).status == health_pb2.HealthCheckResponse.SERVING
    assert (
        info_of(await refused(health.Watch(health_pb2.HealthCheckRequest()).read())).reason
        == "TOO_MANY_WATCHES"
    )
    watched[0].cancel()

    async def let_in() -> bool:
        try:
            answer = await health.Watch(health_pb2.HealthCheckRequest()).read()
        except grpc.aio.AioRpcError:
            return False
        return bool(answer.status == 1)

    await until(let_in, "one that was left makes room")


async def test_before_an_agent_is_welcome_nothing_more_of_it_is_read(front: Front) -> None:
    front.peers.orchestrator.welcoming.clear()
    stream = OrchestratorServiceStub(front.channel).AttachAgent(metadata=(("x-tenant", "acme"),))

    async def says() -> AsyncIterator[str]:
        for token in ("one", "two"):
            await stream.write(hello(token))
            yield token

    said = [each async for each in says()]
    await until(lambda: front.peers.orchestrator.greeted == ["one"], "the first hello comes through")
    front.peers.orchestrator.welcoming.set()
    answers: list[Any] = [await stream.read() for _ in said]
    assert [each.welcome.agent_id for each in answers] == said == front.peers.orchestrator.greeted
    stream.cancel()
