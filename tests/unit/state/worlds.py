"""Moments, packets and commands for the tests of state."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from services.state.domain import agent as agents
from services.state.domain.agent import Agent, decide, evolve
from services.state.domain.lock import AcquireLock, Advance, ReleaseLock
from services.state.domain.packet import IssuePacket, Packet
from services.state.domain.sequenced import Sequenced
from services.state.domain.task import Artifact, Handoff, LastKnownState, RevocationReason

T0 = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def packet(task_id: str = "task-1", agent_id: str = "sre-1") -> Packet:
    return Packet(agent_id, task_id, "run-1", "find out why the disk is full", T0)


def acquire(holder: str, seconds: float, lease: int = 30, task_id: str = "task-1") -> AcquireLock:
    return AcquireLock("sre-1", task_id, holder, lease, at(seconds))


def advance(token: int, seconds: float, phase: str = "PLAN", lease: int = 30) -> Advance:
    return Advance("sre-1", "task-1", "run-1", phase, "", token, lease, "service:orchestrator", at(seconds))


def release(token: int, seconds: float, holder: str = "run-1", task_id: str = "") -> ReleaseLock:
    return ReleaseLock("sre-1", task_id, holder, token, "service:orchestrator", at(seconds))


class Worked:
    """An agent and its events, each at the next place of a log that others write to as well."""

    def __init__(self, stride: int = 3) -> None:
        self.agent = Agent()
        self.events: list[Sequenced[agents.Event]] = []
        self._sequence = 0
        self._stride = stride

    def does(self, command: agents.Command) -> agents.Event | None:
        event = decide(self.agent, command)
        if event is not None:
            self._sequence += self._stride
            self.events.append(Sequenced(event, self._sequence))
            self.agent = evolve(self.agent, self.events[-1])
        return event

    def packed(self) -> "Worked":
        self.does(IssuePacket(packet(), T0))
        return self

    @property
    def token(self) -> int:
        return self.agent.lock.fencing_token if self.agent.lock else 0

    @property
    def sequence(self) -> int:
        return self._sequence


def fold(events: Iterable[Sequenced[agents.Event]]) -> Agent:
    agent = Agent()
    for event in events:
        agent = evolve(agent, event)
    return agent


def artifact(name: str = "report.json", content: str = "a", run_id: str = "run-1") -> Artifact:
    return Artifact(content * 64, name, "application/json", 12, "task-1", run_id, T0)


def handoff() -> Handoff:
    return Handoff(
        "task-1",
        "sre-1",
        True,
        RevocationReason("ERROR_BUDGET_EXCEEDED", "the same error twice"),
        LastKnownState("EXECUTE", "disk.cleanup"),
        ("disk.usage",),
        "no permission on /var",
        ("ask for tier T2",),
        ("never touch /etc",),
        ("b" * 64,),
    )
