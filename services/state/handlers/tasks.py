"""Tasks: the artifacts made for them, and what is handed on."""

from contextlib import nullcontext
from dataclasses import dataclass, replace

from kernel.events import Appended, Cause, Stream, require_token
from kernel.ports import Following
from services.state.domain import task as tasks
from services.state.domain.bounds import require_agent_id
from services.state.domain.faults import (
    ArtifactHashMismatch,
    ArtifactTooLarge,
    ArtifactUnknown,
    HandoffUnknown,
)
from services.state.domain.lock import ShowToken
from services.state.domain.page import Page, after_first
from services.state.domain.task import (
    MAX_CONTENT_BYTES,
    SEAL_BYTES,
    SEALED,
    Artifact,
    ArtifactStored,
    HandoffWritten,
    StoreArtifact,
    WriteHandoff,
    require_sha256,
    require_sound_artifact,
)
from services.state.domain.view import View
from services.state.handlers.fencing import Fencing
from services.state.handlers.kept import Kept, require_same, written_before
from services.state.handlers.working import Reader, Working
from services.state.ports import Contents


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
    labels: tuple[str, ...] = ()
    agent_id: str = ""
    """In whose name it is stored, and under whose lock when a token is shown."""
    fencing_token: int = 0


class Tasks:
    """What is kept of each task."""

    def __init__(
        self,
        kept: Kept,
        view: View,
        following: Following,
        contents: Contents,
        working: Working,
        fencing: Fencing,
    ) -> None:
        self._fencing = fencing
        self._tasks = kept.tasks
        self._working = working
        self._view = view
        self._following = following
        self._contents = contents
        self._recall = kept.recall
        self._newest_artifact = 0

    async def put_artifact(self, wanted: Content, cause: Cause) -> tuple[Artifact, int]:
        """The artifact, on disk and in the log, and the sequence.

        Raises:
            ArtifactTooLarge, ArtifactHashMismatch, LabelUnknown, Invalid: nothing was stored.
            FencingTokenStale: nothing was stored but this (recorded).
            AgentIsRevoked: it is in the name of such an agent; nothing was stored.
            ArtifactsFull, Exhausted: there is no room.
        """
        writing, agent_id = self._fencing.writing, wanted.agent_id
        with writing.by(cause.tenant, agent_id) if agent_id else nullcontext():
            return await self._put(wanted, cause)

    async def _put(self, wanted: Content, cause: Cause) -> tuple[Artifact, int]:
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
            self._labels(wanted, cause),
        )
        require_sound_artifact(artifact)
        task_id, token = wanted.task_id, wanted.fencing_token
        shown = ShowToken(wanted.agent_id, task_id, token, cause.actor, cause.at, wanted.run_id)
        before = await self._fencing.answered(self._tasks, task_id, StoreArtifact, shown, cause)
        if before is None:
            tasks.require_room(self._tasks.current(cause.tenant, task_id), artifact)
            await self._contents.put(cause.tenant, sha256, wanted.content)
            # Much may happen while megabytes are written.
            before = await self._fencing.answered(self._tasks, task_id, StoreArtifact, shown, cause)
        if before is None:
            artifact = replace(artifact, labels=self._labels(wanted, cause))
            before = await self._fencing.write(self._tasks, task_id, StoreArtifact(artifact), shown, cause)
            self._newest_artifact = max(self._newest_artifact, before.sequence)
            if not before.duplicate:
                stored = tasks.find(self._tasks.current(cause.tenant, task_id), artifact)
                return stored or artifact, before.sequence
        # What was sealed twice has other bytes each time: it is the first that the log names.
        return await self._stored(wanted, before.sequence, cause), before.sequence

    async def _stored(self, wanted: Content, sequence: int, cause: Cause) -> Artifact:
        stream = Stream(cause.tenant, "state", "task", wanted.task_id)
        stored = (await written_before(self._recall, stream, sequence, ArtifactStored)).artifact
        require_same(stored, wanted, "name", "run_id")
        return stored

    def _labels(self, wanted: Content, cause: Cause) -> tuple[str, ...]:
        labelling = self._working.labelling(cause.tenant, wanted.agent_id, wanted.run_id)
        return labelling.of(wanted.labels)

    async def get_artifact(self, sha256: str, reader: Reader | None, cause: Cause) -> tuple[Artifact, bytes]:
        """Raises ArtifactUnknown (also when the content is damaged), AgentStateUnknown, Invalid, Unavailable."""
        require_sha256(sha256)
        self._working.require_reader(reader, cause)
        artifact = await self.artifact(sha256, cause)
        content = await self._contents.get(cause.tenant, sha256) if artifact else None
        if artifact is None or content is None:
            raise ArtifactUnknown(sha256)
        await self._working.stick(reader, frozenset(artifact.labels), f"artifact:{sha256}", cause)
        return artifact, content

    async def artifact(self, sha256: str, cause: Cause) -> Artifact | None:
        """What is known of this content. Raises Unavailable."""
        await self._following.reached(self._newest_artifact)
        known = self._view.artifact(cause.tenant, sha256)
        if known is None:  # another replica may have taken it just now
            await self._working.catch_up()
            known = self._view.artifact(cause.tenant, sha256)
        return known

    async def keep_artifact(self, sha256: str, cause: Cause) -> bool:
        """Whether it is there, content and all; it is then kept from now on. Raises Unavailable."""
        known = await self.artifact(sha256, cause)
        return known is not None and await self._contents.renew(cause.tenant, sha256)

    async def list_artifacts(
        self, task_id: str, page_size: int, page_token: str, cause: Cause
    ) -> Page[Artifact]:
        """Oldest first. Raises Invalid, Unavailable."""
        require_token(task_id, "task_id")
        # What is missing may cost an agent its power: what other replicas have taken counts, too.
        await self._working.catch_up()
        known = self._view.tasks.get((cause.tenant, task_id))
        return after_first(known.artifacts if known else (), page_size, page_token)

    async def write_handoff(self, command: WriteHandoff, cause: Cause) -> Appended:
        """Raises LabelUnknown, Invalid, Unavailable."""
        handoff = command.handoff
        require_token(handoff.task_id, "handoff.task_id")
        require_agent_id(handoff.previous_agent_id, "handoff.previous_agent_id")
        # The one who comes next starts from it: it bears what the one before had read, whichever run leaves it, and at
        # whichever replica.
        await self._working.catch_up()
        labelling = self._working.labelling_of_all_runs(cause.tenant, handoff.previous_agent_id)
        # Not about what it says: told again after a crash it is sealed anew, and may know another reason.
        asked = cause.about(handoff.previous_agent_id)
        return await self._tasks.handle(handoff.task_id, replace(command, labelling=labelling), asked)

    async def get_handoff(
        self, task_id: str, at_least_sequence: int, reader: Reader | None, cause: Cause
    ) -> HandoffWritten:
        """Raises HandoffUnknown, AgentStateUnknown, Invalid, Unavailable."""
        require_token(task_id, "task_id")
        self._working.require_reader(reader, cause)
        await self._following.reached(at_least_sequence)
        found = self._tasks.current(cause.tenant, task_id).handoff
        if found is None:
            raise HandoffUnknown(task_id)
        await self._working.stick(reader, frozenset(found.handoff.labels), "handoff", cause)
        return found
