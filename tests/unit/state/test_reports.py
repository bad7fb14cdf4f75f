"""A report is a sign of life, whether or not it can be written down."""

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from chassis.process import now
from kernel.events import Cause
from kernel.faults import Unavailable
from services.state.domain.agent import AGENT
from services.state.handlers.attention import Activity, Attention

CAUSE = Cause("default", "r-1", "service:orchestrator", now())


class Vigil:
    def __init__(self) -> None:
        self.heard: list[str] = []

    def did(self, tenant: str, agent_id: str, action: str, result: str) -> bool:
        self.heard.append(action)
        return True

    def beat(self, tenant: str, agent_id: str) -> None:
        self.heard.append("beat")


class Away:
    """The aggregates of a service whose log is away."""

    async def handle(self, *_: Any) -> Any:
        raise Unavailable("LOG_UNREACHABLE", "the event log does not answer")


async def test_who_reports_while_the_log_is_away_is_not_taken_for_stuck(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.state.handlers.attention.known", lambda *_: AGENT.initial)
    vigil: Any = Vigil()
    away: Any = SimpleNamespace(agents=Away(), by=lambda *_: nullcontext())
    attention = Attention(away, away, away, vigil, away)
    for action in ("", "deploy"):
        with pytest.raises(Unavailable):
            await attention.report(Activity("sre-1", "task-1", "run-1", action, "", None), CAUSE)
    assert vigil.heard == ["beat", "deploy", "beat"]
