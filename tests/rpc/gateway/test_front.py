"""The gRPC front: who comes in, what passes through, and that nothing of the client's own does."""

import asyncio
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from prometheus_client import REGISTRY

from provost.gateway.v1 import gateway_pb2
from provost.gateway.v1.gateway_pb2_grpc import GatewayServiceStub
from provost.ledger.v1 import ledger_pb2
from provost.ledger.v1.ledger_pb2_grpc import LedgerServiceStub
from provost.orchestrator.v1 import orchestrator_pb2
from provost.orchestrator.v1.actuator_pb2 import ListActuatorsRequest
from provost.orchestrator.v1.actuator_pb2_grpc import ActuatorServiceStub
from provost.orchestrator.v1.orchestrator_pb2_grpc import OrchestratorServiceStub
from provost.policy.v1 import policy_pb2
from provost.policy.v1.policy_pb2_grpc import PolicyServiceStub
from provost.state.v1 import state_pb2
from provost.state.v1.state_pb2_grpc import StateServiceStub
from services.gateway.domain.records import Component
from tests.fakes.doors import ADMIN, AUDITOR, OPERATOR, OTHER, OTHER_AUDITOR, VIEWER
from tests.fakes.wait import until
from tests.rpc.gateway.conftest import AS_OPERATOR, Front, as_

ASK = policy_pb2.GetAgentRequest(agent_id="sre-1")


def info_of(error: grpc.aio.AioRpcError) -> error_details_pb2.ErrorInfo:
    details: Any = dict(error.trailing_metadata() or ())["grpc-status-details-bin"]
    (detail,) = status_pb2.Status.FromString(details).details
    info = error_details_pb2.ErrorInfo()
    assert AnyMessage.Unpack(detail, info)
    return info


async def test_a_call_reaches_its_service_in_the_name_of_the_key(front: Front) -> None:
    answer = await PolicyServiceStub(front.channel).GetAgent(ASK, metadata=as_(OTHER))
    assert answer.agent.agent_id == "sre-1"
    (heard,) = front.peers.policy.heard
    assert heard["x-provost-tenant"] == "acme"
    assert heard["x-provost-roles"] == "operator,viewer"
    assert str(heard["x-provost-actor"]).startswith("key:operator-")


async def test_that_an_answer_may_be_old_passes_through_and_nothing_else_besides(front: Front) -> None:
    call = PolicyServiceStub(front.channel).GetAgent(ASK, metadata=AS_OPERATOR)
    assert (await call).agent.agent_id == "sre-1"
    assert tuple(await call.trailing_metadata() or ()) == (("provost-stale-seconds", "12"),)


async def test_what_the_client_says_about_itself_is_dropped(front: Front) -> None:
    claims = (
        ("x-provost-tenant", "acme"),
        ("x-provost-actor", "service:policy"),
        ("x-provost-roles", "service,admin"),
        ("x-provost-internal", "guess"),
        ("x-provost-correlation", "c"),
        ("x-provost-request", "mine"),
        ("x-anything", "else"),
        ("x-tenant", "acme"),
    )
    await PolicyServiceStub(front.channel).GetAgent(ASK, metadata=as_(VIEWER, *claims))
    (heard,) = front.peers.policy.heard
    assert (heard["x-provost-tenant"], heard["x-provost-roles"]) == ("default", "viewer")
    assert "x-anything" not in heard
    assert "x-provost-correlation" not in heard
    assert heard["x-provost-request"] != "mine"
    assert "x-api-key" not in heard
    assert VIEWER not in heard.values()


@pytest.mark.parametrize(
    ("metadata", "code", "reason"),
    [
        ((), grpc.StatusCode.UNAUTHENTICATED, "KEY_MISSING"),
        (as_("wrong"), grpc.StatusCode.UNAUTHENTICATED, "KEY_UNKNOWN"),
        (as_(VIEWER), grpc.StatusCode.PERMISSION_DENIED, "ROLE_MISSING"),
    ],
)
async def test_who_may_not_is_turned_away_and_written_down(
    front: Front, metadata: Any, code: grpc.StatusCode, reason: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await PolicyServiceStub(front.channel).RevokeAgent(
            policy_pb2.RevokeAgentRequest(agent_id="sre-1"), metadata=metadata
        )
    assert (refused.value.code(), info_of(refused.value).reason) == (code, reason)
    (noted,) = front.house.refusals.noted
    assert noted["method"] == "/provost.policy.v1.PolicyService/RevokeAgent"
    assert noted["peer"] == "127.0.0.1"
    assert noted["reason"] == reason


@pytest.mark.parametrize(
    ("key", "code", "reason"),
    [
        (OTHER_AUDITOR, grpc.StatusCode.PERMISSION_DENIED, "TENANT_MISMATCH"),
        (OPERATOR, grpc.StatusCode.PERMISSION_DENIED, "ROLE_MISSING"),
    ],
)
async def test_the_log_is_for_the_shards_auditors(
    front: Front, key: str, code: grpc.StatusCode, reason: str
) -> None:
    front.house.public_log = True  # which opens the paths of HTTP, and nothing here
    ledger = LedgerServiceStub(front.channel)
    entries = ledger.GetEntries(ledger_pb2.GetEntriesRequest(), metadata=as_(key))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await ledger.GetTile(ledger_pb2.GetTileRequest(), metadata=as_(key))
    assert (refused.value.code(), info_of(refused.value).reason) == (code, reason)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        [each async for each in entries]
    assert (refused.value.code(), info_of(refused.value).reason) == (code, reason)
    assert {each["reason"] for each in front.house.refusals.noted} == {reason}


async def test_entries_pass_through_piece_by_piece(front: Front) -> None:
    entries = LedgerServiceStub(front.channel).GetEntries(
        ledger_pb2.GetEntriesRequest(), metadata=as_(AUDITOR)
    )
    assert [len(each.piece) async for each in entries] == [256 * 1024] * 64


async def test_the_rate_counts_here_too(front: Front) -> None:
    front.house.meter.left = 1
    policy = PolicyServiceStub(front.channel)
    await policy.GetAgent(ASK, metadata=AS_OPERATOR)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await policy.GetAgent(ASK, metadata=AS_OPERATOR)
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert info_of(refused.value).reason == "RATE_LIMITED"
    assert float(info_of(refused.value).metadata["retry_after_seconds"]) > 0


async def test_a_fault_passes_through_with_all_it_carries(front: Front) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await PolicyServiceStub(front.channel).RevokeAgent(
            policy_pb2.RevokeAgentRequest(agent_id="sre-1"), metadata=AS_OPERATOR
        )
    info = info_of(refused.value)
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert refused.value.details() == "it was revoked before"
    assert (info.reason, dict(info.metadata)) == (
        "AGENT_ALREADY_REVOKED",
        {"agent_id": "sre-1", "by": "key:x"},
    )


async def test_a_bug_behind_the_front_is_told_without_its_text(front: Front) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await PolicyServiceStub(front.channel).ListAgents(
            policy_pb2.ListAgentsRequest(), metadata=AS_OPERATOR
        )
    assert failed.value.code() is grpc.StatusCode.INTERNAL
    assert "canary" not in str(failed.value)


async def test_a_deadline_is_passed_on(front: Front) -> None:
    await PolicyServiceStub(front.channel).GetAgent(ASK, metadata=AS_OPERATOR, timeout=7)
    left = front.peers.policy.seconds_left[-1]
    assert left is not None
    # gRPC rounds what is left up to 10 ms at each hop, and reads it on another clock than it was set on.
    assert 0 < left <= 7.1


async def test_a_call_that_is_given_up_is_given_up_behind_the_front_too(front: Front) -> None:
    call = PolicyServiceStub(front.channel).GetPolicySet(
        policy_pb2.GetPolicySetRequest(), metadata=AS_OPERATOR
    )
    async with asyncio.timeout(10):
        await front.peers.policy.waiting.wait()
        call.cancel()
        await front.peers.policy.cancelled.wait()


async def test_a_stream_of_answers_passes_through(front: Front) -> None:
    rebuild = LedgerServiceStub(front.channel).RebuildLedger
    request = ledger_pb2.RebuildLedgerRequest()
    answers = [each async for each in rebuild(request, metadata=as_(ADMIN))]
    assert [each.events for each in answers] == [1, 2, 3]
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        _ = [each async for each in rebuild(request, metadata=AS_OPERATOR)]
    assert info_of(refused.value).reason == "ROLE_MISSING"


def hello(token: str) -> orchestrator_pb2.AttachAgentRequest:
    return orchestrator_pb2.AttachAgentRequest(
        hello=orchestrator_pb2.AttachAgentRequest.Hello(session_token=token)
    )


async def test_an_agent_attaches_with_its_own_credentials_and_no_key(front: Front) -> None:
    stream = OrchestratorServiceStub(front.channel).AttachAgent(metadata=(("x-tenant", "acme"),))
    async with asyncio.timeout(10):
        for token in ("one", "two"):
            await stream.write(hello(token))
            answer = await stream.read()
            assert isinstance(answer, orchestrator_pb2.AttachAgentResponse)
            assert answer.welcome.agent_id == token
        stream.cancel()
        await front.peers.orchestrator.left.wait()
    (heard,) = front.peers.orchestrator.heard
    assert heard["x-provost-tenant"] == "acme"
    assert "x-provost-roles" not in heard


async def test_a_stream_that_its_client_ends_ends_in_order(front: Front) -> None:
    stream = OrchestratorServiceStub(front.channel).AttachAgent(metadata=AS_OPERATOR)
    async with asyncio.timeout(10):
        await stream.write(hello("one"))
        await stream.done_writing()
        answers = [each async for each in stream]
    assert [each.welcome.agent_id for each in answers] == ["one"]
    assert await stream.code() is grpc.StatusCode.OK


async def test_calls_are_counted_by_the_tenant_of_their_key(front: Front) -> None:
    def counted(tenant: str, outcome: str) -> float:
        labels = {"tenant": tenant, "outcome": outcome}
        return REGISTRY.get_sample_value("provost_tenant_requests_total", labels) or 0.0

    kinds = [
        (tenant, outcome) for tenant in ("acme", "") for outcome in ("ok", "refused", "failed", "cancelled")
    ]
    before = [counted(*each) for each in kinds]
    policy = PolicyServiceStub(front.channel)
    await policy.GetAgent(ASK, metadata=as_(OTHER))
    with pytest.raises(grpc.aio.AioRpcError):
        await policy.GetAgent(ASK, metadata=as_(OTHER[:-1]))
    with pytest.raises(grpc.aio.AioRpcError):
        await StateServiceStub(front.channel).ListLocks(state_pb2.ListLocksRequest(), metadata=as_(OTHER))
    with pytest.raises(grpc.aio.AioRpcError):
        await policy.CreateSession(
            policy_pb2.CreateSessionRequest(role_id="r", secret_id="wrong"), metadata=(("x-tenant", "acme"),)
        )
    stream = OrchestratorServiceStub(front.channel).AttachAgent(metadata=as_(OTHER))
    await stream.write(hello("one"))
    await stream.read()
    stream.cancel()
    await front.peers.orchestrator.left.wait()
    await until(lambda: counted("acme", "cancelled") > before[3], "the stream that was left is not counted")
    more = {each: counted(*each) - was for each, was in zip(kinds, before, strict=True)}
    assert {each: n for each, n in more.items() if n} == {
        ("acme", "ok"): 1,
        ("acme", "failed"): 1,
        ("acme", "cancelled"): 1,
        ("", "refused"): 1,
    }


async def test_sessions_are_asked_for_without_a_key(front: Front) -> None:
    await PolicyServiceStub(front.channel).CreateSession(policy_pb2.CreateSessionRequest(role_id="r"))
    assert front.peers.policy.heard[0]["x-provost-tenant"] == "default"
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await PolicyServiceStub(front.channel).CreateSession(
            policy_pb2.CreateSessionRequest(role_id="r"), metadata=(("x-tenant", "a.*"),)
        )
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_fault_22_bad_credentials_are_written_down(front: Front) -> None:
    policy = PolicyServiceStub(front.channel)
    for _ in range(3):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await policy.CreateSession(
                policy_pb2.CreateSessionRequest(role_id="r", secret_id="wrong"),
                metadata=(("x-tenant", "acme"),),
            )
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
        assert info_of(refused.value).reason == "CREDENTIALS_REFUSED"
    stream = OrchestratorServiceStub(front.channel).AttachAgent(metadata=(("x-tenant", "acme"),))
    await stream.write(hello("forged"))
    with pytest.raises(grpc.aio.AioRpcError):
        await stream.read()
    noted = [(each["tenant"], each["reason"], each["method"]) for each in front.house.refusals.noted]
    assert noted == [
        *[("acme", "CREDENTIALS_REFUSED", "/provost.policy.v1.PolicyService/CreateSession")] * 3,
        ("acme", "TOKEN_INVALID", "/provost.orchestrator.v1.OrchestratorService/AttachAgent"),
    ]
    assert all(each["peer"] == "127.0.0.1" for each in front.house.refusals.noted)


async def test_what_a_service_refuses_for_another_reason_is_its_own_to_record(front: Front) -> None:
    with pytest.raises(grpc.aio.AioRpcError):
        await PolicyServiceStub(front.channel).RevokeAgent(
            policy_pb2.RevokeAgentRequest(agent_id="sre-1"), metadata=AS_OPERATOR
        )
    assert front.house.refusals.noted == []


async def test_fault_33_a_stream_of_requests_keeps_to_its_callers_rate(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    held = asyncio.Event()

    async def sleep(seconds: float) -> None:
        waited.append(seconds)
        await held.wait()
        front.house.meter.left = None

    monkeypatch.setattr("services.gateway.handlers.door.sleep", sleep)
    front.house.meter.left = 3
    stream: Any = PolicyServiceStub(front.channel).StreamAuthorize(metadata=AS_OPERATOR)
    for n in range(5):
        ask = policy_pb2.AuthorizeRequest(request_id=f"r{n}")
        await stream.write(policy_pb2.StreamAuthorizeRequest(ask=ask))
    assert [(await stream.read()).request_id for _ in range(3)] == ["r0", "r1", "r2"]
    await until(lambda: waited == [12.5], "the fourth is held back")
    assert front.peers.policy.streamed == ["r0", "r1", "r2"]
    held.set()
    await stream.done_writing()
    assert [(await stream.read()).request_id for _ in range(2)] == ["r3", "r4"]


async def test_a_service_that_is_away_is_waited_for(front: Front) -> None:
    policy = PolicyServiceStub(front.channel)
    await policy.GetAgent(ASK, metadata=AS_OPERATOR)
    await front.peers.stop("policy")
    asked = asyncio.ensure_future(_ask(policy))
    await front.peers.start("policy")
    assert (await asked).agent.agent_id == "sre-1"


async def _ask(policy: Any) -> policy_pb2.GetAgentResponse:
    answer: policy_pb2.GetAgentResponse = await policy.GetAgent(ASK, metadata=AS_OPERATOR)
    return answer


async def test_a_call_that_is_sent_again_on_its_way_is_the_same_call(front: Front) -> None:
    front.peers.policy.ending = 2
    for _ in range(2):
        await PolicyServiceStub(front.channel).GetAgent(ASK, metadata=AS_OPERATOR)
    first, *again, next_one = (each["x-provost-request"] for each in front.peers.policy.heard)
    assert again == [first, first]
    assert next_one != first


async def test_a_service_that_stays_away_is_named(front: Front) -> None:
    await front.peers.stop("policy")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await PolicyServiceStub(front.channel).GetAgent(ASK, metadata=AS_OPERATOR)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    assert info_of(refused.value).reason == "PEER_UNREACHABLE"
    assert info_of(refused.value).metadata["peer"] == "policy"


async def test_a_log_of_the_largest_size_passes_and_a_larger_message_does_not(front: Front) -> None:
    process_log = OrchestratorServiceStub(front.channel).ProcessLog
    largest = orchestrator_pb2.ProcessLogRequest(request_id="r", log=bytes(32 * 2**20))
    answer = await process_log(largest, metadata=AS_OPERATOR)
    assert answer.run.source.size_bytes == 32 * 2**20
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await process_log(orchestrator_pb2.ProcessLogRequest(log=bytes(35 * 2**20)), metadata=AS_OPERATOR)
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_message_that_swells_when_it_is_unpacked_is_refused(front: Front) -> None:
    bomb = orchestrator_pb2.ProcessLogRequest(log=bytes(60 * 2**20))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await OrchestratorServiceStub(front.channel).ProcessLog(
            bomb, metadata=AS_OPERATOR, compression=grpc.Compression.Gzip
        )
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("garbage", [b"\xff\xff\xff", b"\x0a\x7f", b"\x0b" * 5000])
async def test_what_is_no_message_is_an_invalid_argument(front: Front, garbage: bytes) -> None:
    call: Any = front.channel.unary_unary("/provost.policy.v1.PolicyService/GetAgent")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call(garbage, metadata=AS_OPERATOR)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert info_of(refused.value).reason == "MALFORMED_MESSAGE"


async def test_actuators_and_unknown_methods_are_not_offered(front: Front) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as unknown:
        await ActuatorServiceStub(front.channel).ListActuators(ListActuatorsRequest(), metadata=as_(ADMIN))
    assert unknown.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_status_and_health_need_no_key(front: Front) -> None:
    front.house.probe.components = (Component("ledger", False, 7, "behind"),)
    status = await GatewayServiceStub(front.channel).GetStatus(gateway_pb2.GetStatusRequest())
    assert not status.healthy
    assert (status.components[0].lag_events, status.components[0].detail) == (7, "behind")
    health: Any = health_pb2_grpc.HealthStub(front.channel)
    for service in ("", "provost.policy.v1.PolicyService", "provost.gateway.v1.GatewayService"):
        answer = await health.Check(health_pb2.HealthCheckRequest(service=service))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_reflection_lists_what_is_offered(front: Front) -> None:
    channel: Any = front.channel
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)

    async def ask() -> Any:
        yield reflection_pb2.ServerReflectionRequest(list_services="")

    listed = [each async for each in stub.ServerReflectionInfo(ask())]
    names = {service.name for service in listed[0].list_services_response.service}
    assert {"provost.orchestrator.v1.OrchestratorService", "provost.gateway.v1.GatewayService"} <= names
    assert not [name for name in names if "Actuator" in name]


async def test_keys_are_nowhere_in_what_is_written_down(front: Front) -> None:
    with pytest.raises(grpc.aio.AioRpcError):
        await PolicyServiceStub(front.channel).GetAgent(ASK, metadata=as_("s3cret-canary"))
    assert "canary" not in str(front.house.refusals.noted)
    assert OPERATOR not in str(front.house.refusals.noted)
