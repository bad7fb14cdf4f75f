"""A peer that answers INTERNAL while an agent sits here: its seat is a seat still, or none at all."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from chassis.rpc.faults import PeerFailed
from kernel.events import Cause
from provost.orchestrator.v1 import orchestrator_pb2 as pb
from services.orchestrator.domain.phases import RunState
from services.orchestrator.ports.policy import Session
from tests.fakes.wait import until
from tests.rpc.orchestrator import test_attach
from tests.rpc.orchestrator.test_attach import hello, refusal, served
from tests.unit.orchestrator.house import TENANT

FAILED = PeerFailed(grpc.StatusCode.INTERNAL, "a bug over there")
BEAT = pb.AttachAgentRequest(beat=pb.AttachAgentRequest.Beat())


async def said(outbox: "asyncio.Queue[pb.AttachAgentRequest]") -> AsyncIterator[pb.AttachAgentRequest]:
    while True:
        yield await outbox.get()


async def test_an_agent_is_heard_though_its_heartbeat_was_not_taken(tmp_path: Path) -> None:
    beats = 0

    async def heartbeat(agent_id: str, cause: Cause) -> None:
        nonlocal beats
        beats += 1
        if beats == 2:
            raise FAILED

    async with served(tmp_path) as it:
        it.peers.state.heartbeat = heartbeat  # type: ignore[method-assign]
        outbox: asyncio.Queue[pb.AttachAgentRequest] = asyncio.Queue()
        outbox.put_nowait(hello("good"))
        stream = it.attach(said(outbox))
        await stream.read()
        outbox.put_nowait(BEAT)
        await until(lambda: beats == 2, "nobody was told that it lives")
        run_id = (await it.start("guest")).run_id
        assert (await stream.read()).task.run_id == run_id
        outbox.put_nowait(pb.AttachAgentRequest(proposal=pb.Proposal(run_id=run_id)))
        await until(lambda: it.house.runs.current(TENANT, run_id).over, "what it proposed was not read")
        assert it.house.runs.current(TENANT, run_id).state is RunState.COMPLETED
        stream.cancel()


async def test_nobody_sits_where_nothing_is_read_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = test_attach.WrittenSessions.session_of

    async def session_of(self: test_attach.WrittenSessions, token: str, cause: Cause) -> Session:
        if token == "second":
            raise FAILED
        return await asked(self, token, cause)

    monkeypatch.setattr(test_attach.WrittenSessions, "session_of", session_of)
    async with served(tmp_path) as it:
        outbox: asyncio.Queue[pb.AttachAgentRequest] = asyncio.Queue()
        for token in ("good", "second"):
            outbox.put_nowait(hello(token))
        fault = await refusal(it.attach(said(outbox)))
        assert fault.reason == "PEER_UNREACHABLE"
        assert not it.house.crew.seated(TENANT, "guest")
