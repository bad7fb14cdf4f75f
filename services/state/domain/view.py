"""Everything the log has said so far, folded: what the store is filled from, and what it is compared with.

Fed in log order by one follower, so that at any moment it is the fold of a whole prefix of the log.
"""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import NamedTuple, TypeAlias

from services.state.domain import agent as agents
from services.state.domain import crew as crews
from services.state.domain import task as tasks
from services.state.domain.agent import Agent, ErrorRecorded, PacketIssued
from services.state.domain.attention import AgentStuck, AgentUnstuck, AgentWaits
from services.state.domain.crew import Crew
from services.state.domain.lock import (
    AgentAdvanced,
    LockAcquired,
    LockForced,
    LockReleased,
    StaleTokenRefused,
)
from services.state.domain.revocation import AgentRevoked
from services.state.domain.sequenced import Sequenced
from services.state.domain.task import Artifact, ArtifactStored, HandoffWritten, Task

Event: TypeAlias = agents.Event | tasks.Event | AgentRevoked


class Part(StrEnum):
    """What of a thing an event can change: one key of the store each."""

    PACKET = "packet"
    STATE = "state"
    ERRORS = "errors"
    LOCK = "lock"
    HEARTBEAT = "heartbeat"
    ACTIVE_AGENT = "active_agent"
    AGENTS = "agents"
    ARTIFACTS = "artifacts"
    HANDOFF = "latest"
    REVOCATIONS = "ledger"


class Place(NamedTuple):
    """One key's worth of the view; `id` is empty for what belongs to the whole tenant."""

    tenant: str
    id: str
    part: Part


_OF_AGENT = {
    PacketIssued: (Part.PACKET, Part.STATE, Part.ERRORS),
    LockAcquired: (Part.STATE, Part.LOCK),
    AgentAdvanced: (Part.STATE, Part.LOCK, Part.HEARTBEAT),
    LockReleased: (Part.STATE, Part.LOCK),
    LockForced: (Part.STATE, Part.LOCK),
    StaleTokenRefused: (Part.STATE,),
    ErrorRecorded: (Part.STATE, Part.ERRORS),
    AgentWaits: (Part.STATE,),
    AgentStuck: (Part.STATE,),
    AgentUnstuck: (Part.STATE,),
}
_OF_CREW = (Part.ACTIVE_AGENT, Part.AGENTS)


class View:
    """Agents, tasks, crews and revocations of all tenants."""

    def __init__(self) -> None:
        self.sequence = 0
        """Where the newest event that was taken stands."""
        self.agents: dict[tuple[str, str], Agent] = {}
        self.tasks: dict[tuple[str, str], Task] = {}
        self.crews: dict[tuple[str, str], Crew] = {}
        self.revocations: dict[str, Sequenced[list[AgentRevoked]]] = {}
        self._revoked: set[tuple[str, str]] = set()
        self._artifacts: dict[tuple[str, str], Artifact] = {}

    def take(self, tenant: str, id: str, event: Event, sequence: int) -> Sequence[Place]:
        """Fold one event of aggregate `id`; answers what it changed. One that was taken before changes nothing."""
        if sequence <= self.sequence:
            return ()
        self.sequence = sequence
        key = (tenant, id)
        match event:
            case ArtifactStored() | HandoffWritten():
                self.tasks[key] = tasks.evolve(self.tasks.get(key, Task()), Sequenced(event, sequence))
                if isinstance(event, HandoffWritten):
                    return (Place(tenant, id, Part.HANDOFF),)
                self._artifacts[tenant, event.artifact.sha256] = event.artifact
                return (Place(tenant, id, Part.ARTIFACTS),)
            case AgentRevoked():
                known = self.revocations.get(tenant)
                self.revocations[tenant] = Sequenced([*(known.event if known else ()), event], sequence)
                self._revoked.add(key)
                return (Place(tenant, "", Part.REVOCATIONS),)
            case _:
                self.agents[key] = agents.evolve(self.agents.get(key, Agent()), Sequenced(event, sequence))
                changed = [Place(tenant, id, part) for part in _OF_AGENT[type(event)]]
                if isinstance(event, LockAcquired | LockReleased | LockForced):
                    of_task = (tenant, event.task_id)
                    self.crews[of_task] = crews.evolve(self.crews.get(of_task, Crew()), event, sequence)
                    changed += [Place(tenant, event.task_id, part) for part in _OF_CREW]
                return changed

    def places(self) -> Iterator[Place]:
        """Every key's worth there is, in no particular order; take no event meanwhile."""
        for tenant, agent_id in self.agents:
            for part in (Part.PACKET, Part.STATE, Part.ERRORS, Part.LOCK, Part.HEARTBEAT):
                yield Place(tenant, agent_id, part)
        for tenant, task_id in self.tasks:
            yield Place(tenant, task_id, Part.ARTIFACTS)
            yield Place(tenant, task_id, Part.HANDOFF)
        for tenant, task_id in self.crews:
            for part in _OF_CREW:
                yield Place(tenant, task_id, part)
        for tenant in self.revocations:
            yield Place(tenant, "", Part.REVOCATIONS)

    def is_revoked(self, tenant: str, agent_id: str) -> bool:
        return (tenant, agent_id) in self._revoked

    def artifact(self, tenant: str, sha256: str) -> Artifact | None:
        """The artifact of this content that was stored last."""
        return self._artifacts.get((tenant, sha256))
