"""Agents over the stream that anyone's agent uses: who may sit down, what an answer may be, how power ends."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from prometheus_client import REGISTRY
from pydantic import SecretStr

from chassis import process
from chassis.config import ServiceSettings
from chassis.rpc import LARGE_MESSAGES, client
from chassis.rpc.cause import metadata_of
from chassis.rpc.faults import fault_of
from chassis.rpc.server import Server
from kernel.events import Cause
from kernel.faults import Denied, Fault, Invalid, NotFound, Unauthenticated, Unavailable
from provost.orchestrator.v1 import orchestrator_pb2 as pb
from provost.orchestrator.v1.orchestrator_pb2_grpc import (
    OrchestratorServiceStub,
    add_OrchestratorServiceServicer_to_server,
)
from provost.policy.v1 import policy_pb2
from services.orchestrator import rpc
from services.orchestrator.ports.policy import Session
from services.orchestrator.rpc import OrchestratorServicer
from tests.fakes.wait import until
from tests.unit.orchestrator.house import LOG, TENANT, House, Peers, house, peers

KEY = "an internal key for tests"
AS_OPERATOR = Cause(TENANT, "", "key:op", process.now())
TOMORROW = process.now() + timedelta(days=1)
TOKENS = {
    "good": Session(TENANT, "guest", TOMORROW),
    "foreign": Session("other", "guest", TOMORROW),
    "second": Session(TENANT, "twin", TOMORROW),
}


class WrittenSessions:
    """Sessions that are written down: any other token is none."""

    async def session_of(self, token: str, cause: Cause) -> Session:
        if token not in TOKENS:
            raise Unauthenticated("TOKEN_INVALID", "the token was refused")
        return TOKENS[token]


@dataclass
class Served:
    """An orchestrator behind a real channel."""

    house: House
    peers: Peers
    stub: Any

    def attach(self, messages: "AsyncIterator[pb.AttachAgentRequest]", tenant: str = TENANT) -> Any:
        cause = Cause(tenant, "", "key:agent", process.now())
        return self.stub.AttachAgent(messages, metadata=metadata_of(cause, ("operator",)))

    async def start(self, agent: str) -> pb.Run:
        cause = Cause(TENANT, process.new_id(), "key:op", process.now())
        request = pb.StartRunRequest(
            request_id=cause.request_id,
            agent_id=agent,
            task_id="t1",
            objective="look",
            mode=policy_pb2.MODE_SAFE,
        )
        run: pb.Run = (await client.call(self.stub.StartRun, request, cause)).run
        return run

    async def over(self, run_id: str) -> pb.Run:
        cause = Cause(TENANT, "", "key:op", process.now())
        request = pb.GetRunRequest(run_id=run_id, wait_seconds=20)
        run: pb.Run = (await client.call(self.stub.GetRun, request, cause, 30)).run
        return run


@asynccontextmanager
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    at = peers()
    at.policy.known.add("guest")
    settings = ServiceSettings(home=tmp_path, internal_key=SecretStr(KEY))
    async with house(at) as it:
        server = Server(settings, "orchestrator", max_message_bytes=LARGE_MESSAGES, port=0)
        servicer = OrchestratorServicer(it.orchestrator, it.crew, WrittenSessions(), at.state)
        server.add(add_OrchestratorServiceServicer_to_server, servicer)
        await server.start()
        channel = client.channel(
            f"127.0.0.1:{server.port}", internal_key=KEY, max_message_bytes=LARGE_MESSAGES
        )
        yield Served(it, at, OrchestratorServiceStub(channel))
        await channel.close()
        await server.stop()


def hello(token: str) -> pb.AttachAgentRequest:
    return pb.AttachAgentRequest(hello=pb.AttachAgentRequest.Hello(session_token=token))


async def sent(*messages: pb.AttachAgentRequest) -> AsyncIterator[pb.AttachAgentRequest]:
    for message in messages:
        yield message


async def read_out(stream: Any) -> None:
    async for _ in stream:
        continue


async def refusal(stream: Any) -> Fault:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await read_out(stream)
    fault = fault_of(caught.value)
    assert isinstance(fault, Fault)
    return fault


@pytest.mark.parametrize(
    ("first", "kind"),
    [
        (hello(""), Unauthenticated),
        (hello("forged"), Unauthenticated),
        (hello("foreign"), Denied),
        (pb.AttachAgentRequest(beat=pb.AttachAgentRequest.Beat()), Invalid),
    ],
)
async def test_only_who_has_a_session_here_sits_down(
    tmp_path: Path, first: pb.AttachAgentRequest, kind: type[Fault]
) -> None:
    async with served(tmp_path) as it:
        assert isinstance(await refusal(it.attach(sent(first))), kind)


async def test_who_does_not_say_hello_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rpc, "HELLO_SECONDS", 0.05)
    async with served(tmp_path) as it:
        said = asyncio.Event()

        async def nothing() -> AsyncIterator[pb.AttachAgentRequest]:
            await said.wait()
            yield hello("good")

        fault = await refusal(it.attach(nothing()))
        said.set()
    assert (type(fault), fault.reason) == (Unavailable, "DEADLINE_EXCEEDED")


async def test_who_says_more_than_is_read_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpc, "MESSAGES_AT_ONCE", 5.0)
    monkeypatch.setattr(rpc, "MESSAGES_A_SECOND", 0.001)
    async with served(tmp_path) as it:
        beats = [pb.AttachAgentRequest(beat=pb.AttachAgentRequest.Beat())] * 50
        before = it.peers.state.beats + 1  # it beats when it sits down
        stream = it.attach(sent(hello("good"), *beats))
        await until(lambda: it.peers.state.beats >= before + 6, "five at once and the one that waits")
        for _ in range(5):
            await it.stub.ListRuns(pb.ListRunsRequest(), metadata=metadata_of(AS_OPERATOR, ("operator",)))
        assert it.peers.state.beats == before + 6
        stream.cancel()


async def test_a_revoked_agent_does_not_sit_down_again(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        it.house.conductor.agent_revoked(TENANT, "guest", "operator", "enough")
        fault = await refusal(it.attach(sent(hello("good"))))
        assert fault.reason == "AGENT_REVOKED"


async def test_a_seat_is_kept_as_long_as_the_session_lasts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soon = process.now() + timedelta(seconds=1)
    monkeypatch.setitem(TOKENS, "guest, soon over", Session(TENANT, "guest", soon))
    monkeypatch.setitem(TOKENS, "twin, soon over", Session(TENANT, "twin", soon))
    done = asyncio.Event()

    async def said(*messages: pb.AttachAgentRequest) -> AsyncIterator[pb.AttachAgentRequest]:
        for message in messages:
            yield message
        await done.wait()

    async with served(tmp_path) as it:
        renewed = it.attach(said(hello("guest, soon over"), hello("good")))
        await renewed.read()
        fault = await refusal(it.attach(said(hello("twin, soon over"))))
        assert (type(fault), fault.reason) == (Unavailable, "TOKEN_EXPIRED")
        assert it.house.crew.seats >= {(TENANT, "guest")}
        renewed.cancel()
        done.set()


async def test_a_seat_is_not_handed_to_another_agent(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        fault = await refusal(it.attach(sent(hello("good"), hello("second"))))
        assert fault.reason == "TOKEN_INVALID"


def shown(kind: str) -> float | None:
    return REGISTRY.get_sample_value("provost_agents_attached", {"kind": kind})


async def test_whoever_is_attached_is_counted_while_it_is_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with served(tmp_path) as it:
        assert (shown("built_in"), shown("own")) == (0.0, 0.0)
        stream = it.stub.AttachAgent(
            metadata=metadata_of(Cause(TENANT, "", "key:agent", process.now()), ("operator",))
        )
        await stream.write(hello("good"))
        await stream.read()
        assert (shown("built_in"), shown("own")) == (0.0, 1.0)
        with monkeypatch.context() as later:
            later.setattr(rpc, "SILENT_SECONDS", 0.0)
            assert shown("own") == 0.0, "nothing was heard of it meanwhile"
        now = process.monotonic()
        (seat,) = [it.house.crew._seats[key] for key in it.house.crew.seats if key[1] == "guest"]
        await stream.write(pb.AttachAgentRequest(beat=pb.AttachAgentRequest.Beat()))
        await until(lambda: seat.heard_at > now, "the beat was not heard")
        stream.cancel()
        await until(lambda: shown("own") == 0.0, "it counts though it has gone")


Answer = Callable[[pb.Task], pb.AttachAgentRequest]


async def work(it: Served, answer: Answer) -> pb.Run:
    """An agent that answers its one task with `answer`; the run as it ended."""
    stream = it.stub.AttachAgent(
        metadata=metadata_of(Cause(TENANT, "", "key:agent", process.now()), ("operator",))
    )
    await stream.write(hello("good"))
    welcome = await stream.read()
    assert welcome.welcome.agent_id == "guest"
    run = await it.start("guest")
    task = (await stream.read()).task
    assert task.run_id == run.run_id
    await stream.write(answer(task))
    if answer is not propose:
        await stream.write(answer((await stream.read()).task))
    ended = await it.over(run.run_id)
    stream.cancel()
    return ended


def propose(task: pb.Task) -> pb.AttachAgentRequest:
    proposal = pb.Proposal(run_id=task.run_id)
    proposal.plan.add(least_tier=policy_pb2.TIER_T0_OBSERVER, why="to see").action.CopyFrom(
        policy_pb2.Action(
            action_id="a1", name="diagnostics.memory", target="localhost", environment="sandbox"
        )
    )
    return pb.AttachAgentRequest(proposal=proposal)


async def test_an_agent_of_anyones_is_given_its_task_and_its_plan_is_governed(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        run = await work(it, propose)
    assert run.state == pb.RUN_STATE_COMPLETED
    assert [decision.verdict for decision in run.decisions] == [policy_pb2.VERDICT_ALLOW]


def fail(task: pb.Task) -> pb.AttachAgentRequest:
    return pb.AttachAgentRequest(
        failure=pb.AttachAgentRequest.Failure(run_id=task.run_id, error_type="ValueError", message="no idea")
    )


def nonsense(task: pb.Task) -> pb.AttachAgentRequest:
    message = propose(task)
    message.proposal.plan[0].action.name = "rm -rf /"
    return message


@pytest.mark.parametrize(("answer", "error"), [(fail, "AGENT_FAILED"), (nonsense, "PROPOSAL_INVALID")])
async def test_who_answers_nonsense_twice_loses_its_power(tmp_path: Path, answer: Answer, error: str) -> None:
    async with served(tmp_path) as it:
        run = await work(it, answer)
    assert run.state == pb.RUN_STATE_REVOKED
    assert [kind for kind, _ in it.peers.state.errors] == [error, error]
    assert "guest" in it.peers.policy.revoked
    assert run.plan == []


async def test_a_log_over_grpc_is_the_same_run(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        cause = Cause(TENANT, "r-1", "key:op", process.now())
        request = pb.ProcessLogRequest(request_id="r-1", log=LOG, include_trace=True)
        first = (await client.call(it.stub.ProcessLog, request, cause, 30)).run
        second = (await client.call(it.stub.ProcessLog, request, cause, 30)).run
    assert first == second
    assert first.state == pb.RUN_STATE_COMPLETED
    assert first.mode == policy_pb2.MODE_SAFE


async def test_runs_are_shown_to_their_own_tenant_alone(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        cause = Cause(TENANT, "r1", "key:op", process.now())
        request = pb.ProcessLogRequest(request_id="r1", log=LOG, mode=policy_pb2.MODE_SAFE)
        run_id = (await client.call(it.stub.ProcessLog, request, cause, 30)).run.run_id
        for tenant, seen in ((TENANT, [run_id]), ("other", [])):
            asking = Cause(tenant, "", "key:op", process.now())
            listed = await client.call(it.stub.ListRuns, pb.ListRunsRequest(), asking)
            assert [run.run_id for run in listed.runs] == seen
        asking = Cause("other", "", "key:op", process.now())
        with pytest.raises(NotFound):
            await client.call(it.stub.GetRun, pb.GetRunRequest(run_id=run_id), asking)
