"""No answer in time: what was asked for may have taken effect, and it is said how to find out."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from kernel.faults import Unavailable
from provost.orchestrator.v1 import orchestrator_pb2
from provost.orchestrator.v1.orchestrator_pb2_grpc import OrchestratorServiceStub
from provost.policy.v1 import policy_pb2
from provost.policy.v1.policy_pb2_grpc import PolicyServiceStub
from provost_sdk import Provost
from provost_sdk.errors import Unreachable
from services.gateway.domain.callers import Caller, Role
from tests.fakes.doors import OPERATOR, VIEWER
from tests.rpc.gateway.conftest import Front

SOMEBODY = Caller("default", "key:x", frozenset({Role.OPERATOR}))
SECONDS = 0.2


@pytest_asyncio.fixture
async def hanging(front: Front) -> AsyncIterator[Front]:
    """Behind it no log is ever processed, and no policy set ever read."""
    front.peers.orchestrator.go.clear()
    yield front
    front.peers.orchestrator.go.set()


async def test_the_gateway_says_that_it_may_have_taken_effect_and_under_which_request_id(
    hanging: Front,
) -> None:
    orchestrator = hanging.behind["orchestrator"]
    ask = OrchestratorServiceStub(orchestrator.channel).ProcessLog
    with pytest.raises(Unavailable) as late:
        await orchestrator.ask(ask, orchestrator_pb2.ProcessLogRequest(request_id="r1"), SOMEBODY, SECONDS)
    assert late.value.reason == "DEADLINE_EXCEEDED"
    for said in ("orchestrator", "0.2 s", "may have taken effect", "r1", "/api/runs"):
        assert said in late.value.text
    with pytest.raises(Unavailable) as late:
        await orchestrator.ask(ask, orchestrator_pb2.ProcessLogRequest(), SOMEBODY, SECONDS)
    assert "may have taken effect" in late.value.text
    assert "request id" not in late.value.text


async def test_of_a_question_that_changes_nothing_it_says_no_such_thing(hanging: Front) -> None:
    policy = hanging.behind["policy"]
    ask = PolicyServiceStub(policy.channel).GetPolicySet
    with pytest.raises(Unavailable) as late:
        await policy.ask(ask, policy_pb2.GetPolicySetRequest(), SOMEBODY, SECONDS)
    assert late.value.reason == "DEADLINE_EXCEEDED"
    assert "taken effect" not in late.value.text


async def test_the_python_client_says_it_too_with_the_id_it_made(hanging: Front) -> None:
    async with Provost(f"127.0.0.1:{hanging.server.port}", OPERATOR, timeout_seconds=SECONDS) as provost:
        request = orchestrator_pb2.ProcessLogRequest(request_id="r1", log=b"x")
        with pytest.raises(Unreachable) as late:
            await provost._call(provost._orchestrator.ProcessLog, request)
        assert (late.value.reason, late.value.facts) == ("DEADLINE_EXCEEDED", {"request_id": "r1"})
        for said in ("0.2 s", "may have taken effect", "r1"):
            assert said in str(late.value)
    async with Provost(f"127.0.0.1:{hanging.server.port}", VIEWER, timeout_seconds=SECONDS) as provost:
        with pytest.raises(Unreachable) as late:
            await provost.get_policy_set()
        assert (late.value.reason, late.value.facts) == ("DEADLINE_EXCEEDED", {})
        assert "taken effect" not in str(late.value)


async def test_the_same_is_said_of_a_service_that_has_gone(front: Front) -> None:
    policy = front.behind["policy"]
    await front.peers.stop("policy")
    stub, revoke = PolicyServiceStub(policy.channel), policy_pb2.RevokeAgentRequest(request_id="r1")
    with pytest.raises(Unavailable) as gone:
        await policy.ask(stub.RevokeAgent, revoke, SOMEBODY)
    assert gone.value.reason == "PEER_UNREACHABLE"
    assert "policy does not answer, and it may have taken effect" in gone.value.text
    with pytest.raises(Unavailable) as gone:
        await policy.ask(stub.GetPolicySet, policy_pb2.GetPolicySetRequest(), SOMEBODY)
    assert gone.value.text == "policy does not answer; try again"
