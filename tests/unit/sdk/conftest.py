"""The command line over the client's own calls, with answers that a test gives."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, ClassVar, Self

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from typer.testing import CliRunner

from provost_sdk.agent_calls import AgentCalls
from provost_sdk.cli.app import app
from provost_sdk.policy_calls import PolicyCalls
from provost_sdk.state_calls import StateCalls


class Methods:
    """A stub whose methods are their names."""

    def __getattr__(self, name: str) -> str:
        return name


class FakeProvost(PolicyCalls, AgentCalls, StateCalls):
    """The client's own calls, with answers by method; requests are kept."""

    answers: ClassVar[dict[str, Any]] = {}
    asked: ClassVar[list[tuple[str, Any]]] = []

    def __init__(self, address: str, key: str = "", **_: object) -> None:
        self._timeout_seconds = 30.0
        self._policy: Any = Methods()
        self._state: Any = Methods()

    async def get_run(self, run_id: str) -> Any:
        return await self._call("GetRun", run_id)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def _call(self, method: Any, request: Any, timeout_seconds: float | None = None) -> Any:
        self.asked.append((method, request))
        answer = self.answers[method]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def _answers(
        self, method: Any, request: Any, timeout_seconds: float | None = None
    ) -> AsyncIterator[Any]:
        self.asked.append((method, request))
        for each in self.answers[method]:
            yield each


@pytest.fixture
def provost(monkeypatch: pytest.MonkeyPatch) -> type[FakeProvost]:
    for name in ("PROVOST_ADDRESS", "PROVOST_API_KEY", "PROVOST_GATEWAY_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "300")
    fresh = type("FreshProvost", (FakeProvost,), {"answers": {}, "asked": []})
    monkeypatch.setattr("provost_sdk.client.Provost", fresh)
    return fresh


def invoke(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(each) for each in arguments])


def at(second: int) -> Timestamp:
    made = Timestamp()
    made.FromDatetime(datetime(2026, 3, 1, 3, 0, second, tzinfo=UTC))
    return made


def asked_of(provost: type[FakeProvost], method: str) -> Any:
    (request,) = [request for name, request in provost.asked if name == method]
    return request
