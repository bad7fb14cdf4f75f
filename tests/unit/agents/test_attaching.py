"""A built-in agent at the doors it goes through like any other."""

import asyncio
from types import SimpleNamespace
from typing import Any

import grpc
import grpc.aio
import pytest

from provost.orchestrator.v1 import orchestrator_pb2 as pb
from services.orchestrator.agents import attach
from services.orchestrator.agents.attach import BuiltInAgent
from tests.fakes.wait import until


def nothing(_: pb.Task) -> pb.Proposal:
    return pb.Proposal()


async def test_one_that_was_answered_by_a_bug_attaches_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attach, "_PAUSE_SECONDS", 0.001)
    asked = 0

    async def register(*_: Any, **__: Any) -> None:
        nonlocal asked
        asked += 1
        none = grpc.aio.Metadata()
        raise grpc.aio.AioRpcError(grpc.StatusCode.INTERNAL, none, none, "RST_STREAM")

    agent = BuiltInAgent("sre-1", "default", SimpleNamespace(RegisterAgent=register), None, nothing)
    working = asyncio.create_task(agent.work())
    await until(lambda: asked > 1 or working.done(), "it does not ask again")
    assert not working.done()
    working.cancel()
