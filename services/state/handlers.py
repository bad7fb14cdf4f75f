"""What state does when asked: look up, decide, append; and what it reads.

Locks are decided on by the log's own aggregates, never by the store, so that nobody gains one by emptying it. Reads
come from the store, after everything that this process knows of has been applied to it.
"""

from dataclasses import dataclass
from datetime import timedelta

from kernel.events import Appended, Cause
from kernel.ports import Aggregates, Following
from services.state.domain import agent as agents
from services.state.domain import task as tasks
from services.state.domain.agent import Agent, IssuePacket, RecordError
from services.state.domain.bounds import require_agent_id, require_seconds
from services.state.domain.errors import ErrorCounts
from services.state.domain.faults import (
    AgentStateUnknown,
    ArtifactHashMismatch,
    ArtifactTooLarge,
    ArtifactUnknown,
    FencingTokenStale,
    HandoffUnknown,
    LockTaken,
)
from services.state.domain.lock import AcquireLock, Advance, Lock, ReleaseLock
from services.state.domain.page import Page, after_first, before_last
from services.state.domain.plain import from_json
from services.state.domain.revocation import AgentRevoked
from services.state.domain.snapshot import AgentSnapshot, snapshot
from services.state.domain.task import (
    MAX_CONTENT_BYTES,
    SEAL_BYTES,
    SEALED,
    Artifact,
    HandoffWritten,
    StoreArtifact,
    Task,
    WriteHandoff,
    require_sha256,
    require_sound_artifact,
)
from services.state.domain.view import Part, Place, View
from services.state.ports import (
    Audit,
    Contents,
    Items,
    Length,
    Mirror,
    Rebuilt,
    Table,
    Text,
    Verdict,
)


@dataclass(frozen=True, slots=True)
class Standing:
    """Where an agent stands after a command: what the one who runs it has to know next."""

    errors: ErrorCounts
    lock: Lock | None
    sequence: int


@dataclass(frozen=True, slots=True)
class Content:
    """What is to be stored as an artifact."""

    task_id: str
    run_id: str
    name: str
    media_type: str
    content: bytes
    sha256: str = ""
    """If given, what its hash must be."""


class State:
    """The service."""

    def __init__(
        self,
        agents: Aggregates[Agent, agents.Command],
        tasks: Aggregates[Task, tasks.Command],
        view: View,
        mirror: Mirror,
        audit: Audit,
        following: Following,
        contents: Contents,
    ) -> None:
        self._agents = agents
        self._tasks = tasks
        self._view = view
        self._mirror = mirror
        self._audit = audit
        self._following = following
        self._contents = contents
        self._newest_artifact = 0

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

    async def put_artifact(self, wanted: Content, cause: Cause) -> tuple[Artifact, int]:
        """The artifact, on disk and in the log, and the sequence.

        Raises:
            ArtifactTooLarge, ArtifactHashMismatch, Invalid, Exhausted.
        """
        seal_bytes = SEAL_BYTES if wanted.content.startswith(SEALED) else 0
        if len(wanted.content) > MAX_CONTENT_BYTES + seal_bytes:
            raise ArtifactTooLarge(MAX_CONTENT_BYTES)
        sha256 = await self._contents.hash(wanted.content)
        if wanted.sha256 and wanted.sha256 != sha256:
            raise ArtifactHashMismatch(wanted.sha256, sha256)
        artifact = Artifact(
            sha256,
            wanted.name,
            wanted.media_type,
            len(wanted.content),
            wanted.task_id,
            wanted.run_id,
            cause.at,
        )
        require_sound_artifact(artifact)
        await self._contents.put(cause.tenant, sha256, wanted.content)
        appended = await self._tasks.handle(wanted.task_id, StoreArtifact(artifact), cause)
        self._newest_artifact = max(self._newest_artifact, appended.sequence)
        stored = tasks.find(self._tasks.current(cause.tenant, wanted.task_id), artifact)
        return stored or artifact, appended.sequence

    async def get_artifact(self, sha256: str, cause: Cause) -> tuple[Artifact, bytes]:
        """Raises ArtifactUnknown (also when the content is damaged), Invalid."""
        require_sha256(sha256)
        await self._following.reached(self._newest_artifact)
        artifact = self._view.artifact(cause.tenant, sha256)
        content = await self._contents.get(cause.tenant, sha256) if artifact else None
        if artifact is None or content is None:
            raise ArtifactUnknown(sha256)
        return artifact, content

    async def list_artifacts(
        self, task_id: str, page_size: int, page_token: str, cause: Cause
    ) -> Page[Artifact]:
        """Oldest first. Raises Invalid, Unavailable."""
        window = after_first(page_size, page_token)
        await self._following.reached(self._tasks.current(cause.tenant, task_id).sequence)
        place = Place(cause.tenant, task_id, Part.ARTIFACTS)
        items, length = await self._mirror.read((Items(place, window.first, window.last), Length(place)))
        found = [from_json(Artifact, item) for item in items]
        return window.page(found, length)

    async def write_handoff(self, command: WriteHandoff, cause: Cause) -> Appended:
        """Raises Invalid."""
        return await self._tasks.handle(command.handoff.task_id, command, cause)

    async def get_handoff(self, task_id: str, at_least_sequence: int, cause: Cause) -> HandoffWritten:
        """Raises HandoffUnknown, Unavailable."""
        await self._following.reached(at_least_sequence)
        await self._following.reached(self._tasks.current(cause.tenant, task_id).sequence)
        (text,) = await self._mirror.read((Text(Place(cause.tenant, task_id, Part.HANDOFF)),))
        if text is None:
            raise HandoffUnknown(task_id)
        return from_json(HandoffWritten, text)

    async def list_revocations(self, page_size: int, page_token: str, cause: Cause) -> Page[AgentRevoked]:
        """Newest first. Raises Invalid, Unavailable."""
        window = before_last(page_size, page_token)
        place = Place(cause.tenant, "", Part.REVOCATIONS)
        items, length = await self._mirror.read((Items(place, window.first, window.last), Length(place)))
        found = [from_json(AgentRevoked, item) for item in reversed(items)]
        return window.page(found, length)

    async def rebuild_store(self) -> Rebuilt:
        return await self._audit.rebuild()

    async def verify_store(self) -> Verdict:
        return await self._audit.verify()

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
