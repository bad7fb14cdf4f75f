"""Everything the log has said so far, folded: what the store is filled from, and what it is compared with.

Fed in log order by one follower, so that at any moment it is the fold of a whole prefix of the log.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple, Protocol, TypeAlias

from services.state.domain import agent as agents
from services.state.domain import board as boards
from services.state.domain import checkpoints as saved
from services.state.domain import crew as crews
from services.state.domain import inbox as inboxes
from services.state.domain import task as tasks
from services.state.domain.agent import Agent
from services.state.domain.attention import AgentStuck, AgentUnstuck, AgentWaits
from services.state.domain.board import SECTIONS, Board, EntryPut
from services.state.domain.checkpoints import Checkpoints, CheckpointSaved
from services.state.domain.crew import Crew
from services.state.domain.errors import ErrorRecorded
from services.state.domain.inbox import Inbox, MessagesAcknowledged, MessageSent
from services.state.domain.labels import RunLabelled
from services.state.domain.lock import (
    AgentAdvanced,
    LockAcquired,
    LockForced,
    LockReleased,
    StaleTokenRefused,
)
from services.state.domain.packet import Packet, PacketIssued
from services.state.domain.recent import Recent
from services.state.domain.revocation import AgentRevoked
from services.state.domain.sequenced import Sequenced
from services.state.domain.task import Artifact, ArtifactStored, HandoffWritten, Task

Event: TypeAlias = agents.Event | tasks.Event | boards.Event | inboxes.Event | saved.Event | AgentRevoked
KEPT_PACKETS = 50
"""So many of an agent's packets are kept at hand, the newest; the log has them all."""


class Part(StrEnum):
    """What of a thing an event can change: one key of the store each."""

    PACKET = "packet"
    PACKETS = "packets"
    STATE = "state"
    ERRORS = "errors"
    LOCK = "lock"
    HEARTBEAT = "heartbeat"
    ACTIVITY = "activity"
    """When it last did something new. Like a heartbeat it lies in the store alone."""
    ACTIVE_AGENT = "active_agent"
    AGENTS = "agents"
    ARTIFACTS = "artifacts"
    HANDOFF = "latest"
    REVOCATIONS = "ledger"
    PROBLEM = "problem"
    SOLUTIONS = "solutions"
    PROGRESS = "progress"
    CONSENSUS = "consensus"
    MESSAGES = "messages"
    WAITING = "waiting"
    CHECKPOINTS = "kept"


class Place(NamedTuple):
    """One key's worth of the view; `id` is empty for what belongs to the whole tenant.

    With a `name` it is one field of a key that is a table.
    """

    tenant: str
    id: str
    part: Part
    name: str = ""


class _Placed(Protocol):
    @property
    def sequence(self) -> int: ...


_ALL_OF_AGENT = (Part.PACKET, Part.STATE, Part.ERRORS, Part.LOCK)
"""What there is of each from its first event on, whatever that is; a heartbeat is there when it is heard."""
_OF_AGENT = {
    PacketIssued: (Part.PACKET, Part.STATE, Part.ERRORS),
    LockAcquired: (Part.STATE, Part.LOCK, Part.ERRORS),
    AgentAdvanced: (Part.STATE, Part.LOCK, Part.HEARTBEAT),
    LockReleased: (Part.STATE, Part.LOCK),
    LockForced: (Part.STATE, Part.LOCK),
    StaleTokenRefused: (Part.STATE,),
    ErrorRecorded: (Part.STATE, Part.ERRORS),
    AgentWaits: (Part.STATE,),
    AgentStuck: (Part.STATE,),
    AgentUnstuck: (Part.STATE,),
    RunLabelled: (Part.STATE,),
}
_OF_CREW = (Part.ACTIVE_AGENT, Part.AGENTS)
_OF_INBOX = (Part.MESSAGES, Part.WAITING)


class View:
    """Agents, tasks, crews, boards, messages, checkpoints and revocations of all tenants."""

    def __init__(self) -> None:
        self.sequence = 0
        """Where the newest event that was taken stands."""
        self.agents: dict[tuple[str, str], Agent] = {}
        self.tasks: dict[tuple[str, str], Task] = {}
        self.crews: dict[tuple[str, str], Crew] = {}
        self.packets: dict[tuple[str, str], Sequenced[tuple[Packet, ...]]] = {}
        """Of each agent the newest ones, oldest first."""
        self.boards: dict[tuple[str, str], Board] = {}
        self.inboxes: dict[tuple[str, str], Inbox] = {}
        self.checkpoints: dict[tuple[str, str], Checkpoints] = {}
        """By run."""
        self.recent = Recent()
        self.revocations: dict[str, Sequenced[list[AgentRevoked]]] = {}
        self._revoked: set[tuple[str, str]] = set()
        self._artifacts: dict[tuple[str, str], Artifact] = {}

    def newest(self, tenant: str, aggregate: str, id: str) -> int:
        """Where the newest event of one of state's aggregates stands that was taken; 0 when none was."""
        known = self._states(aggregate).get((tenant, id))
        return 0 if known is None else known.sequence

    def share(self, aggregate: str, tenant: str, id: str, state: _Placed) -> None:
        """Hold `state` itself if it is what is held, at the same event: it is in memory once then."""
        states = self._states(aggregate)
        known = states.get((tenant, id))
        if known is not None and known.sequence == state.sequence:
            states[tenant, id] = state

    def _states(self, aggregate: str) -> dict[tuple[str, str], Any]:
        match aggregate:
            case "agent":
                return self.agents
            case "task":
                return self.tasks
            case "board":
                return self.boards
            case "inbox":
                return self.inboxes
            case "checkpoints":
                return self.checkpoints
            case _:
                return {}

    def take(self, tenant: str, id: str, event: Event, sequence: int) -> Sequence[Place]:
        """Fold one event of aggregate `id`; answers what it changed. One that was taken before changes nothing."""
        if sequence <= self.sequence:
            return ()
        self.sequence = sequence
        key = (tenant, id)
        task_id, at = _touches(event)
        if task_id:
            self.recent.touch(tenant, task_id, sequence, at)
        match event:
            case EntryPut():
                return self._board(key, event, sequence)
            case MessageSent() | MessagesAcknowledged():
                return self._inbox(key, event, sequence)
            case CheckpointSaved():
                return self._checkpoint(key, event, sequence)
            case ArtifactStored() | HandoffWritten():
                self.tasks[key] = tasks.evolve(self.tasks.get(key, Task()), Sequenced(event, sequence))
                if isinstance(event, HandoffWritten):
                    return (Place(tenant, id, Part.HANDOFF),)
                self._artifact(tenant, event.artifact)
                return (Place(tenant, id, Part.ARTIFACTS),)
            case AgentRevoked():
                known = self.revocations.get(tenant)
                if key in self._revoked and known and event in known.event:
                    return ()
                self.revocations[tenant] = Sequenced([*(known.event if known else ()), event], sequence)
                self._revoked.add(key)
                return (Place(tenant, "", Part.REVOCATIONS),)
            case _:
                parts = _OF_AGENT[type(event)] if key in self.agents else _ALL_OF_AGENT
                before = self.agents.get(key, Agent())
                self.agents[key] = agents.evolve(before, Sequenced(event, sequence))
                changed = [Place(tenant, id, part) for part in parts]
                if isinstance(event, PacketIssued):
                    changed += self._packet(key, event.packet, sequence)
                if isinstance(event, LockAcquired | LockReleased | LockForced):
                    for task_id in crews.changed(event, before.lock):
                        crew = self.crews.get((tenant, task_id), Crew())
                        self.crews[tenant, task_id] = crews.evolve(crew, task_id, event, sequence)
                        changed += [Place(tenant, task_id, part) for part in _OF_CREW]
                return changed

    def _artifact(self, tenant: str, stored: Artifact) -> None:
        # The same bytes are as secret as they were: whoever stores them again takes no label off them.
        known = self._artifacts.get((tenant, stored.sha256))
        if known is not None and known.labels != stored.labels:
            stored = replace(stored, labels=tuple(sorted({*known.labels, *stored.labels})))
        self._artifacts[tenant, stored.sha256] = stored

    def _packet(self, key: tuple[str, str], packet: Packet, sequence: int) -> Sequence[Place]:
        known = self.packets.get(key)
        every = (*(known.event if known else ()), packet)
        self.packets[key] = Sequenced(every[-KEPT_PACKETS:], sequence)
        names = [str(each.version) for each in (packet, *every[:-KEPT_PACKETS])]
        return _fields(key, Part.PACKETS, names, first=known is None)

    def _board(self, key: tuple[str, str], event: EntryPut, sequence: int) -> Sequence[Place]:
        known = self.boards.get(key, Board())
        self.boards[key] = boards.evolve(known, Sequenced(event, sequence))
        entry = event.entry
        if not known.sequence:
            return [Place(*key, Part(section)) for section in SECTIONS]
        return (Place(*key, Part(entry.section), entry.key),)

    def _inbox(
        self, key: tuple[str, str], event: MessageSent | MessagesAcknowledged, sequence: int
    ) -> Sequence[Place]:
        known = self.inboxes.get(key, Inbox())
        inbox = self.inboxes[key] = inboxes.evolve(known, Sequenced(event, sequence))
        first = not known.sequence
        if isinstance(event, MessageSent):
            names = [event.message.message_id]
            return [place for part in _OF_INBOX for place in _fields(key, part, names, first=first)]
        dropped = [each for each in (*known.read, *event.message_ids) if inbox.message(each) is None]
        return (
            *_fields(key, Part.WAITING, event.message_ids, first=first),
            *_fields(key, Part.MESSAGES, dropped, first=first),
        )

    def _checkpoint(self, key: tuple[str, str], event: CheckpointSaved, sequence: int) -> Sequence[Place]:
        known = self.checkpoints.get(key, Checkpoints())
        now = self.checkpoints[key] = saved.evolve(known, Sequenced(event, sequence))
        names = [str(each.number) for each in (*known.kept[:1], *now.kept[-1:])]
        return _fields(key, Part.CHECKPOINTS, names, first=not known.sequence)

    def places(self) -> Iterator[Place]:
        """Every key's worth there is, in no particular order; take no event meanwhile."""
        for tenant, agent_id in self.agents:
            for part in (*_ALL_OF_AGENT, Part.HEARTBEAT):
                yield Place(tenant, agent_id, part)
        for tenant, task_id in self.tasks:
            yield Place(tenant, task_id, Part.ARTIFACTS)
            yield Place(tenant, task_id, Part.HANDOFF)
        for tenant, task_id in self.crews:
            for part in _OF_CREW:
                yield Place(tenant, task_id, part)
        for tenant in self.revocations:
            yield Place(tenant, "", Part.REVOCATIONS)
        for tenant, agent_id in self.packets:
            yield Place(tenant, agent_id, Part.PACKETS)
        for tenant, task_id in self.boards:
            for section in SECTIONS:
                yield Place(tenant, task_id, Part(section))
        for tenant, task_id in self.inboxes:
            for part in _OF_INBOX:
                yield Place(tenant, task_id, part)
        for tenant, run_id in self.checkpoints:
            yield Place(tenant, run_id, Part.CHECKPOINTS)

    def named_by_checkpoints(self) -> frozenset[str]:
        """The artifacts that runs need to go on, each as `<tenant>/<sha256>`: that have an agent, or wait for one."""
        goes_on = {(tenant, run) for (tenant, _), agent in self.agents.items() for run in agent.runs()}
        return frozenset(
            f"{tenant}/{each.artifact_sha256}"
            for tenant, run in goes_on & self.checkpoints.keys()
            for each in self.checkpoints[tenant, run].kept
            if each.artifact_sha256
        )

    def is_revoked(self, tenant: str, agent_id: str) -> bool:
        return (tenant, agent_id) in self._revoked

    def artifact(self, tenant: str, sha256: str) -> Artifact | None:
        """The artifact of this content that was stored last, with all labels that the content was ever stored with."""
        return self._artifacts.get((tenant, sha256))


def _fields(key: tuple[str, str], part: Part, names: Iterable[str], *, first: bool) -> Sequence[Place]:
    """Fields of a table that have changed; the table itself when there was none before."""
    return [Place(*key, part)] if first else [Place(*key, part, name) for name in names]


def _touches(event: Event) -> tuple[str, datetime]:
    """Of which task an event tells, and when it happened; the task is empty when it tells of none."""
    match event:
        case AgentAdvanced() | LockAcquired() | LockReleased() | LockForced() | ErrorRecorded():
            return event.task_id, event.at
        case AgentWaits() | AgentStuck() | AgentUnstuck() | MessagesAcknowledged():
            return event.task_id, event.at
        case PacketIssued(packet=packet, at=at):
            return packet.task_id, at
        case EntryPut(entry=entry):
            return entry.task_id, entry.at
        case MessageSent(message=message):
            return message.task_id, message.at
        case ArtifactStored(artifact=artifact):
            return artifact.task_id, artifact.at
        case CheckpointSaved(checkpoint=checkpoint):
            return checkpoint.task_id, checkpoint.at
        case HandoffWritten(handoff=handoff, at=at):
            return handoff.task_id, at
        case StaleTokenRefused() | RunLabelled() | AgentRevoked():
            return "", event.at
