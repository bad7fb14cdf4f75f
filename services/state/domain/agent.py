"""An agent at work: its packet, its lock, where it stands, and what went wrong since the packet.

Each of these has a file of its own, which says what it decides; here they are one aggregate.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeAlias, assert_never

from kernel.decider import Decider
from services.state.domain import attention
from services.state.domain.attention import (
    AgentStuck,
    AgentUnstuck,
    AgentWaits,
    FindStuck,
    FindUnstuck,
    ReportWaiting,
)
from services.state.domain.errors import (
    NO_ERRORS,
    ErrorCounts,
    ErrorRecorded,
    RecordError,
    counted,
    put_aside,
    record,
    set_aside,
    together,
)
from services.state.domain.faults import AgentIsRevoked, LockTaken, NoInstructionPacket
from services.state.domain.fencing import unheard
from services.state.domain.labels import NO_LABELS, LabelRun, RunLabelled, RunLabels, stick
from services.state.domain.lock import (
    AcquireLock,
    Advance,
    AgentAdvanced,
    ForceReleaseLock,
    Lock,
    LockAcquired,
    LockForced,
    LockReleased,
    ReleaseLock,
    ShowToken,
    StaleTokenRefused,
    acquire,
    advance,
    force,
    release,
    show,
)
from services.state.domain.packet import IssuePacket, Packet, PacketIssued, issue
from services.state.domain.sequenced import Sequenced

REFUSALS_KEPT = 1024
"""As many as ids of requests are remembered: one that was refused is never taken for one that counted."""

# wants

Command: TypeAlias = (
    IssuePacket
    | AcquireLock
    | Advance
    | ReleaseLock
    | ForceReleaseLock
    | RecordError
    | ReportWaiting
    | FindStuck
    | FindUnstuck
    | ShowToken
    | LabelRun
)


# facts

Event: TypeAlias = (
    PacketIssued
    | LockAcquired
    | AgentAdvanced
    | LockReleased
    | LockForced
    | StaleTokenRefused
    | ErrorRecorded
    | AgentWaits
    | AgentStuck
    | AgentUnstuck
    | RunLabelled
)


# state


@dataclass(frozen=True, slots=True)
class Agent:
    agent_id: str = ""
    packet: Packet | None = None
    task_id: str = ""
    run_id: str = ""
    phase: str = ""
    step: str = ""
    errors: ErrorCounts = field(default_factory=ErrorCounts)
    lock: Lock | None = None
    advanced_at: datetime | None = None
    sequence: int = 0
    """Where its newest event stands in the log."""
    refusals: tuple[int, ...] = ()
    """Where the newest `StaleTokenRefused` stand: how one who asks again learns that it was refused."""
    labelled: RunLabels = NO_LABELS
    last_run: str = ""
    """Which of its runs was heard of last: it took the lock, advanced, or read something labelled."""
    waits: AgentWaits | None = None
    """What it waits for, from when it said so until it works again."""
    parted: Mapping[str, AgentWaits] = field(default_factory=dict)
    """What runs wait for that have given it back, and that others have followed; by run, the last one last."""
    set_aside: Mapping[str, ErrorCounts] = field(default_factory=dict)
    """What runs have spent that others, with other packets, have followed: they find it again with the agent."""
    superseded: bool = False
    """Whether another packet has followed the one its lock was taken under, and nobody has taken it under that yet."""
    found: AgentStuck | None = None
    """How it is stuck, until it is not, or has left its lock."""

    @property
    def watched(self) -> bool:
        """Whether it is at work, so that it is noticed when it gets nowhere."""
        return self.lock is not None and not self.lock.released

    def runs(self) -> Iterator[str]:
        """Those that go on, as far as is known: the one that holds the lock, and those that wait."""
        if self.lock is not None and self.watched:
            yield self.lock.holder
        if self.waits is not None:
            yield self.waits.run_id
        yield from self.parted

    @property
    def tasks(self) -> tuple[str, ...]:
        """The one it has, and those in which runs of it wait."""
        if self.waits is None and not self.parted:  # as nearly always
            return (self.task_id,)
        waiting = (each.task_id for each in (self.waits, *self.parted.values()) if each is not None)
        return tuple(dict.fromkeys((self.task_id, *waiting)))

    def followed(self, run_id: str) -> bool:
        """Whether the packet in force is not this run's any more, though its token is still the newest."""
        return self.superseded and self.lock is not None and self.lock.holder == run_id

    def spent(self, run_id: str) -> ErrorCounts:
        """What counts against the run: its own when its packet was followed, else what the packet in force has."""
        return self.set_aside.get(run_id, NO_ERRORS) if self.followed(run_id) else self.errors

    @property
    def labels(self) -> tuple[str, ...]:
        """Of everything that its run has read: the one that holds the lock, and the one heard of last if another."""
        holder = self.lock.holder if self.lock is not None and not self.lock.released else self.last_run
        return self.labelled.of(holder, self.last_run)


# decide


def decide(agent: Agent, command: Command) -> Event | None:
    """What happens; `None` when everything is already as wanted. A stale token is an event too.

    Raises:
        Invalid: a field is out of bounds.
        LockTaken: another holds the lock and its lease runs.
        NoInstructionPacket: there is no packet for this task.
        AgentIsRevoked: a revoked agent takes no lock.
    """
    match command:
        case IssuePacket(at=at):
            issued = issue(agent.packet, command)
            if issued is not None:
                _require_idle(agent, at)
            return issued
        case AcquireLock():
            if command.revoked:
                raise AgentIsRevoked(command.agent_id)
            acquired = acquire(agent.lock, command)
            if acquired and (agent.packet is None or agent.packet.task_id != command.task_id):
                raise NoInstructionPacket(command.agent_id, command.task_id)
            return acquired
        case Advance():
            return advance(agent.lock, agent.packet.task_id if agent.packet else "", command)
        case ReleaseLock():
            return release(agent.lock, command)
        case ForceReleaseLock():
            return force(agent.lock, command)
        case RecordError(fencing_token=0):
            return record(command)
        case RecordError(
            agent_id=agent_id, task_id=task_id, run_id=run_id, fencing_token=token, by=by, at=at
        ):
            recorded = record(command)
            return unheard(agent.lock, agent_id, task_id, run_id, token, by, at) or recorded
        case ShowToken():
            return show(agent.lock, command)
        case LabelRun(run_id=run_id):
            # What it may only have read among those let go is told again: others keep each run's by itself.
            return stick(agent.labelled.runs.get(run_id, ()), command)
        case ReportWaiting() if (ended := attention.over(agent.parted, command)) is not None:
            return ended
        case ReportWaiting(
            agent_id=agent_id, task_id=task_id, run_id=run_id, fencing_token=token, by=by, at=at
        ):
            refused = unheard(agent.lock, agent_id, task_id, run_id, token, by, at)
            return refused or attention.wait(agent.waits, command)
        case FindStuck(sequence=sequence):
            if not agent.watched or agent.lock is None or agent.sequence != sequence:
                return None  # it has left since it was judged, or gone on
            return attention.find(agent.found, agent.waits, agent.lock.task_id, agent.lock.holder, command)
        case FindUnstuck(agent_id=agent_id, at=at):
            found = agent.found
            return AgentUnstuck(agent_id, found.task_id, found.run_id, at) if found else None
        case _:
            assert_never(command)


def _require_idle(agent: Agent, at: datetime) -> None:
    # A packet carries limits and starts the error counts anew: nobody may exchange it under a run at work, neither for
    # another task nor for another run of the same.
    lock = agent.lock
    if lock is not None and lock.alive(at):
        raise LockTaken(agent.agent_id, lock.holder, lock.expire_time)


# evolve


def evolve(agent: Agent, event: Event | Sequenced[Event]) -> Agent:
    """`agent` after `event`. Only a `Sequenced` one gives a lock its token."""
    if isinstance(event, Sequenced):
        return _evolve(agent, event.event, event.sequence)
    return _evolve(agent, event, 0)


def _evolve(agent: Agent, event: Event, sequence: int) -> Agent:
    match event:
        case AgentAdvanced():
            # Most events are this one, and every one is folded again at a start: `replace` would take thrice as long.
            return Agent(
                agent_id=agent.agent_id,
                packet=agent.packet,
                task_id=event.task_id,
                run_id=event.run_id,
                phase=event.phase,
                step=event.step,
                errors=agent.errors,
                lock=agent.lock and agent.lock.renewed(event.lock_expire_time),
                advanced_at=event.at,
                sequence=sequence,
                refusals=agent.refusals,
                labelled=agent.labelled,
                last_run=event.run_id,
                # Whoever renews its lease where it stands may well be waiting; whoever moves on works again.
                waits=agent.waits and (agent.waits if _stands(agent, event) else None),
                found=agent.found,
                parted=agent.parted,
                set_aside=agent.set_aside,
                superseded=agent.superseded,
            )
        case LockAcquired(agent_id=agent_id, task_id=task_id, holder=holder, expire_time=expire_time):
            lock = Lock(holder, task_id, sequence, expire_time)
            spent = agent.set_aside.get(holder)
            if spent is not None:
                aside = {run_id: counts for run_id, counts in agent.set_aside.items() if run_id != holder}
                agent = replace(agent, errors=together(spent, agent.errors), set_aside=aside)
            return replace(
                agent,
                agent_id=agent_id,
                lock=lock,
                last_run=holder,
                sequence=sequence,
                waits=None,
                found=None,
                parted=attention.part(agent.parted, agent.waits, holder),
                superseded=False,
            )
        case LockReleased() | LockForced():
            forced = isinstance(event, LockForced)
            ended = agent.lock and replace(agent.lock, released=True, forced=forced)
            return replace(agent, lock=ended, sequence=sequence, waits=None, found=None)
        case AgentWaits(run_id=run_id, waiting=None) if run_id in agent.parted:
            return replace(agent, parted=attention.part(agent.parted, None, run_id), sequence=sequence)
        case AgentWaits(agent_id=agent_id, run_id=run_id, waiting=waiting):
            if waiting is None:
                return replace(agent, agent_id=agent_id, waits=None, sequence=sequence)
            parted = attention.part(agent.parted, agent.waits, run_id)
            return replace(agent, agent_id=agent_id, waits=event, parted=parted, sequence=sequence)
        case AgentStuck():
            return replace(agent, found=event, sequence=sequence)
        case AgentUnstuck():
            return replace(agent, found=None, sequence=sequence)
        case StaleTokenRefused(agent_id=agent_id):
            refusals = (*agent.refusals, sequence)[-REFUSALS_KEPT:]
            return replace(agent, agent_id=agent_id, refusals=refusals, sequence=sequence)
        case ErrorRecorded(agent_id=agent_id, run_id=run_id):
            spent = counted(agent.spent(run_id), event.error_type, event.procedure_violation)
            if agent.followed(run_id):  # who comes next begins without it
                return replace(agent, set_aside=put_aside(agent.set_aside, run_id, spent), sequence=sequence)
            return replace(agent, agent_id=agent_id, errors=spent, sequence=sequence)
        case RunLabelled(agent_id=agent_id, run_id=run_id):
            labelled = agent.labelled.after(event)
            return replace(agent, agent_id=agent_id, labelled=labelled, last_run=run_id, sequence=sequence)
        case PacketIssued(packet=packet):
            return replace(
                agent,
                agent_id=packet.agent_id,
                packet=packet,
                task_id=packet.task_id,
                run_id="",
                phase="",
                step="",
                errors=ErrorCounts(),
                sequence=sequence,
                set_aside=set_aside(agent.set_aside, agent.lock.holder if agent.lock else "", agent.errors),
                superseded=agent.lock is not None,
            )
        case _:
            assert_never(event)


def _stands(agent: Agent, event: AgentAdvanced) -> bool:
    return (agent.run_id, agent.phase, agent.step) == (event.run_id, event.phase, event.step)


AGENT: Decider[Command, Agent, Event | Sequenced[Event]] = Decider("state", "agent", Agent(), decide, evolve)
