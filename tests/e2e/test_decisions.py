"""Decisions at the front of a whole Provost: a stream of them, what Explain says, and bad credentials on record."""

from typing import Any

import grpc
import grpc.aio
import httpx2 as httpx
import pytest

from provost.ledger.v1 import ledger_pb2
from provost.ledger.v1.ledger_pb2_grpc import LedgerServiceStub
from provost.orchestrator.v1 import orchestrator_pb2
from provost.orchestrator.v1.orchestrator_pb2_grpc import OrchestratorServiceStub
from provost.policy.v1 import policy_pb2 as pb
from provost.policy.v1.policy_pb2_grpc import PolicyServiceStub
from tests.e2e.embedded.embedded import Embedded
from tests.fakes.wait import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def as_(running: Embedded, role: str) -> tuple[tuple[str, str], ...]:
    return (("x-api-key", running.key(role)),)


async def test_a_stream_of_requests_and_what_explain_says_of_one(running: Embedded) -> None:
    async with grpc.aio.insecure_channel(running.run_json()["grpc"]) as channel:
        policy: Any = PolicyServiceStub(channel)
        admin = as_(running, "admin")
        await policy.RegisterAgent(
            pb.RegisterAgentRequest(agent_id="streamed", tier=pb.TIER_T1_OPERATOR), metadata=admin
        )
        made = await policy.CreateSecret(pb.CreateSecretRequest(agent_id="streamed"), metadata=admin)
        opened = await policy.CreateSession(
            pb.CreateSessionRequest(role_id=made.role_id, secret_id=made.secret_id)
        )
        run = pb.RunContext(run_id="r", task_id="t", agent_id="streamed", mode=pb.MODE_AUTO)
        action = pb.Action(action_id="a", name="diagnostics.memory", environment="sandbox")

        def request(number: int) -> pb.StreamAuthorizeRequest:
            ask = pb.AuthorizeRequest(
                request_id=f"s-{number}", session_token=opened.session_token, context=run, action=action
            )
            return pb.StreamAuthorizeRequest(ask=ask)

        stream = policy.StreamAuthorize(map(request, range(50)), metadata=as_(running, "operator"))
        answers = [each async for each in stream]
        assert {each.request_id for each in answers} == {f"s-{number}" for number in range(50)}
        said = await policy.Explain(
            pb.ExplainRequest(context=run, action=action), metadata=as_(running, "viewer")
        )
        reasons = {each.answer.decision.reason for each in answers}
        assert reasons == {said.decision.reason} == {"NO_PACKET"}
        assert [(each.rule, each.passed) for each in said.checks][-1] == ("packet.present", False)


async def test_fault_22_bad_credentials_are_in_the_ledger(running: Embedded, operator: httpx.Client) -> None:
    async with grpc.aio.insecure_channel(running.run_json()["grpc"]) as channel:
        policy: Any = PolicyServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await policy.CreateSession(pb.CreateSessionRequest(role_id="sre-1.guessed", secret_id="guessed"))
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
        attached: Any = OrchestratorServiceStub(channel).AttachAgent()
        hello = orchestrator_pb2.AttachAgentRequest.Hello(session_token="a.b.c")
        await attached.write(orchestrator_pb2.AttachAgentRequest(hello=hello))
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await attached.read()
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
        ledger: Any = LedgerServiceStub(channel)

        async def both() -> bool:
            found = await ledger.ListEvents(
                ledger_pb2.ListEventsRequest(page_size=200), metadata=as_(running, "viewer")
            )
            told = " ".join(each.payload_json for each in found.events if each.event_type == "AccessRefused")
            return "CREDENTIALS_REFUSED" in told and "TOKEN_INVALID" in told

        await until(both, "both attempts are in the ledger")
