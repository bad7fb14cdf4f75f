"""Agents: packets, locks, where they stand, what went wrong, and who is revoked."""

from dataclasses import dataclass
from datetime import timedelta

from kernel.events import Appended, Cause
from kernel.ports import Following
from services.state.domain.agent import Agent, IssuePacket, RecordError
from services.state.domain.bounds import require_agent_id, require_seconds
from services.state.domain.errors import ErrorCounts
from services.state.domain.faults import AgentStateUnknown, FencingTokenStale, LockTaken
from services.state.domain.lock import AcquireLock, Advance, Lock, ReleaseLock
from services.state.domain.page import Page, before_last
from services.state.domain.plain import from_json
from services.state.domain.revocation import AgentRevoked
from services.state.domain.snapshot import AgentSnapshot, snapshot
from services.state.domain.view import Part, Place, View
from services.state.handlers.kept import Kept
from services.state.ports import Items, Length, Mirror, Table, Text


@dataclass(frozen=True, slots=True)
class Standing:
    """Where an agent stands after a command: what the one who runs it has to know next."""

    errors: ErrorCounts
    lock: Lock | None
    sequence: int


class Agents:
    """What is kept of each agent."""

    def __init__(self, kept: Kept, view: View, mirror: Mirror, following: Following) -> None:
        self._agents = kept.agents
        self._view = view
        self._mirror = mirror
        self._following = following

    async def issue_packet(self, command: IssuePacket, cause: Cause) -> Appended:
        return await self._agents.handle(command.packet.agent_id, command, cause)

    async def acquire_lock(self, command: AcquireLock, cause: Cause) -> Standing:
        """The lock as it is now held.

        Raises:
            LockTaken, NoInstructionPacket, AgentIsRevoked, Invalid.
        """
        appended = await self._agents.handle(command.agent_id, command, cause)
        standing = self._standing(command.agent_id, appended, cause)
        lock = standing.lock
        assert lock is not None, "an agent whose lock was acquired has one"
        if lock.holder != command.holder or (appended.event_ids and lock.fencing_token != appended.sequence):
            # An old request asked again: what it got has long been taken by another.
            raise LockTaken(command.agent_id, lock.holder, lock.expire_time)
        return standing

    async def advance(self, command: Advance, cause: Cause) -> Standing:
        """Raises FencingTokenStale (recorded), Invalid."""
        return await self._under_lock(command, cause)

    async def release_lock(self, command: ReleaseLock, cause: Cause) -> Standing:
        """Raises FencingTokenStale (recorded), Invalid."""
        return await self._under_lock(command, cause)

    async def record_error(self, command: RecordError, cause: Cause) -> Standing:
        """Raises Invalid."""
        appended = await self._agents.handle(command.agent_id, command, cause)
        return self._standing(command.agent_id, appended, cause)

    async def heartbeat(self, agent_id: str, ttl_seconds: int, cause: Cause) -> timedelta:
        """How long it is good for. Raises AgentStateUnknown, Invalid, Unavailable."""
        lifetime = timedelta(seconds=require_seconds(ttl_seconds, "ttl_seconds"))
        self._known(cause.tenant, agent_id)
        await self._mirror.beat(cause.tenant, agent_id, cause.at, cause.at + lifetime)
        return lifetime

    async def get_agent_state(self, agent_id: str, at_least_sequence: int, cause: Cause) -> AgentSnapshot:
        """Raises AgentStateUnknown, Unavailable."""
        await self._following.reached(at_least_sequence)
        agent = self._known(cause.tenant, agent_id)
        await self._following.reached(agent.sequence)
        packet, state, errors, lock, heartbeat = await self._mirror.read(
            (
                Text(Place(cause.tenant, agent_id, Part.PACKET)),
                Text(Place(cause.tenant, agent_id, Part.STATE)),
                Table(Place(cause.tenant, agent_id, Part.ERRORS)),
                Text(Place(cause.tenant, agent_id, Part.LOCK)),
                Text(Place(cause.tenant, agent_id, Part.HEARTBEAT)),
            )
        )
        if state is None:
            raise AgentStateUnknown(agent_id)
        return snapshot(packet, state, errors, lock, heartbeat, cause.at)

    async def list_revocations(self, page_size: int, page_token: str, cause: Cause) -> Page[AgentRevoked]:
        """Newest first. Raises Invalid, Unavailable."""
        window = before_last(page_size, page_token)
        place = Place(cause.tenant, "", Part.REVOCATIONS)
        items, length = await self._mirror.read((Items(place, window.first, window.last), Length(place)))
        found = [from_json(AgentRevoked, item) for item in reversed(items)]
        return window.page(found, length)

    def is_revoked(self, tenant: str, agent_id: str) -> bool:
        """Whether policy's revocation of the agent has been followed."""
        return self._view.is_revoked(tenant, agent_id)

    async def _under_lock(self, command: Advance | ReleaseLock, cause: Cause) -> Standing:
        appended = await self._agents.handle(command.agent_id, command, cause)
        agent = self._agents.current(cause.tenant, command.agent_id)
        if appended.event_ids and appended.sequence in agent.refusals:
            current = agent.lock.fencing_token if agent.lock else 0
            raise FencingTokenStale(command.agent_id, command.fencing_token, current)
        return self._standing(command.agent_id, appended, cause)

    def _standing(self, agent_id: str, appended: Appended, cause: Cause) -> Standing:
        agent = self._agents.current(cause.tenant, agent_id)
        return Standing(agent.errors, agent.lock, appended.sequence)

    def _known(self, tenant: str, agent_id: str) -> Agent:
        agent = self._agents.current(tenant, require_agent_id(agent_id))
        if agent.sequence == 0:
            raise AgentStateUnknown(agent_id)
        return agent
