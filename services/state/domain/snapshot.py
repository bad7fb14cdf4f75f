"""An agent as it is told to others."""

from dataclasses import dataclass, replace
from datetime import datetime

from services.state.domain.agent import Agent
from services.state.domain.attention import Stuck, Waiting, WaitingRun
from services.state.domain.errors import ErrorCounts
from services.state.domain.packet import Packet


@dataclass(frozen=True, slots=True)
class HeldLock:
    holder: str
    fencing_token: int
    expire_time: datetime


@dataclass(frozen=True, slots=True)
class LockInUse:
    """A lock that is held, and who waits for it, first in turn first."""

    agent_id: str
    task_id: str
    lock: HeldLock
    waiting: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AgentSnapshot:
    agent_id: str
    packet: Packet | None
    run_id: str
    phase: str
    step: str
    errors: ErrorCounts
    lock: HeldLock | None
    heartbeat_time: datetime | None
    sequence: int
    waiting: Waiting | None = None
    stuck: Stuck | None = None
    labels: tuple[str, ...] = ()
    waiting_runs: tuple[WaitingRun, ...] = ()


def agent_now(agent: Agent) -> AgentSnapshot:
    """The agent as the log has it: heartbeats lie elsewhere, and whether a lock's time is over is for who reads it."""
    lock = agent.lock if agent.lock and not agent.lock.released else None
    runs = waiting_runs(agent)
    # One that nobody works with waits for what its runs wait for.
    idle = runs[-1].waiting if runs and lock is None else None
    return AgentSnapshot(
        agent.agent_id,
        agent.packet,
        agent.run_id,
        agent.phase,
        agent.step,
        agent.errors,
        HeldLock(lock.holder, lock.fencing_token, lock.expire_time) if lock else None,
        None,
        agent.sequence,
        agent.waits.waiting if agent.waits else idle,
        agent.found.stuck if agent.found else None,
        agent.labels,
        runs,
    )


def waiting_runs(agent: Agent) -> tuple[WaitingRun, ...]:
    """All of its runs that wait, the one that speaks for it last."""
    every = (*agent.parted.values(), *([agent.waits] if agent.waits else ()))
    return tuple(WaitingRun(each.run_id, each.task_id, each.waiting) for each in every if each.waiting)


def lease_runs(agent: Agent, at: datetime) -> bool:
    """Whether `at` lies before the end of the lease that its newest lock has, or had."""
    return agent.lock is not None and at < agent.lock.expire_time


def still_waiting(agent: Agent, at: datetime) -> tuple[WaitingRun, ...]:
    """Of its runs that wait, those whose end, if they named one, lies behind `at`."""
    return tuple(each for each in waiting_runs(agent) if _lasts(each.waiting, at))


def _lasts(waiting: Waiting, at: datetime) -> bool:
    return waiting.until is None or at < waiting.until


def snapshot(agent: Agent, heartbeat: str | None, at: datetime) -> AgentSnapshot:
    """The agent as it is `at` this moment: a lock counts only while its lease runs.

    `heartbeat` is what the store has; a step is a sign of life as well, for as long as the lease that it renewed.
    """
    told, running = agent_now(agent), lease_runs(agent, at)
    heard = [datetime.fromisoformat(heartbeat)] if heartbeat else []
    if running and agent.advanced_at:
        heard.append(agent.advanced_at)
    return replace(
        told,
        lock=told.lock if running else None,
        heartbeat_time=max(heard, default=None),
        waiting=told.waiting if told.waiting and _lasts(told.waiting, at) else None,
        waiting_runs=still_waiting(agent, at),
    )
