"""A report is a sign of life, whether or not it can be written down."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from chassis.process import now
from kernel.events import Appended, Cause
from kernel.faults import Unavailable
from services.state.domain.agent import Agent
from services.state.domain.attention import AgentWaits, Waiting, WaitingKind
from services.state.domain.faults import AgentIsRevoked, StoreUnreachable
from services.state.handlers.attention import Activity, Attention
from tests.unit.state.worlds import Worked, acquire

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

    def __init__(self) -> None:
        self.agent = Worked().packed().agent
        self.before: Appended | None = None

    def current(self, *_: str) -> Agent:
        return self.agent

    def answered(self, *_: Any) -> Appended | None:
        return self.before

    async def handle(self, *_: Any) -> Any:
        raise Unavailable("LOG_UNREACHABLE", "the event log does not answer")

    async def beat(self, *_: Any, **__: Any) -> None:
        raise StoreUnreachable


class Writing:
    revoked = False

    @contextmanager
    def by(self, *_: str) -> Iterator[None]:
        yield

    def require_power(self, _: str, agent_id: str) -> None:
        if self.revoked:
            raise AgentIsRevoked(agent_id)


@pytest.fixture
def away() -> Away:
    return Away()


@pytest.fixture
def vigil() -> Vigil:
    return Vigil()


@pytest.fixture
def writing() -> Writing:
    return Writing()


@pytest.fixture
def attention(away: Away, vigil: Any, writing: Any) -> Attention:
    kept: Any = SimpleNamespace(agents=away)
    mirror: Any = SimpleNamespace(beat=away.beat)
    vigil.patience = lambda _: timedelta(seconds=60)
    return Attention(kept, kept, mirror, vigil, writing)


def activity(action: str = "deploy", waiting: Waiting | None = None, run_id: str = "run-1") -> Activity:
    return Activity("sre-1", "task-1", run_id, action, "", waiting)


WAITING = Waiting(WaitingKind.APPROVAL, "a-1", CAUSE.at)
WAITS = AgentWaits("sre-1", "task-1", "run-1", WAITING, CAUSE.at)


async def test_who_reports_while_the_log_is_away_is_not_taken_for_stuck(
    attention: Attention, away: Away, vigil: Vigil
) -> None:
    away.agent = replace(away.agent, waits=WAITS)
    for action in ("", "deploy"):
        with pytest.raises(Unavailable):
            await attention.report(activity(action), CAUSE)
    assert vigil.heard == ["beat", "deploy", "beat"]


async def test_that_work_goes_on_is_answered_from_memory(
    attention: Attention, away: Away, vigil: Vigil, writing: Writing
) -> None:
    assert await attention.report(activity(), CAUSE) is None
    assert vigil.heard == ["deploy", "beat"]
    writing.revoked = True
    with pytest.raises(AgentIsRevoked):
        await attention.report(activity(), CAUSE)


@pytest.mark.parametrize(
    "what",
    [
        activity(""),
        activity(waiting=WAITING),
        activity("", WAITING),
        activity(run_id="run-2"),
        activity(run_id="/"),
    ],
    ids=["a wait ends", "work and waits", "waits", "another has the lock", "malformed"],
)
async def test_of_all_else_the_log_is_asked(attention: Attention, away: Away, what: Activity) -> None:
    worked = Worked().packed()
    worked.does(acquire("run-1", 0))
    away.agent = replace(worked.agent, waits=WAITS if what.waiting else None)
    with pytest.raises(Unavailable):
        await attention.report(what, CAUSE)


async def test_who_asks_again_is_answered_as_before(attention: Attention, away: Away) -> None:
    away.before = Appended(7, ("refused",))
    with pytest.raises(Unavailable):
        await attention.report(activity(), CAUSE)
