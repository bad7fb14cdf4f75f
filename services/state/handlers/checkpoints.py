"""Checkpoints of runs: kept, and read back to go on from."""

from collections.abc import Sequence
from dataclasses import replace

from kernel.events import Cause, Stream, require_token
from kernel.ports import Following
from services.state.domain.checkpoints import Checkpoint, CheckpointSaved, SaveCheckpoint
from services.state.domain.faults import ArtifactUnknown, CheckpointUnknown
from services.state.domain.lock import ShowToken
from services.state.domain.page import Page, number_of, page_size_of
from services.state.domain.task import require_sha256
from services.state.domain.view import View
from services.state.handlers.fencing import Fencing
from services.state.handlers.kept import Kept, require_same, written_before
from services.state.handlers.tasks import Tasks
from services.state.handlers.working import Reader, Working, labels_of


class CheckpointBook:
    """Where each run stood."""

    def __init__(
        self,
        kept: Kept,
        view: View,
        following: Following,
        working: Working,
        fencing: Fencing,
        tasks: Tasks,
    ) -> None:
        self._fencing = fencing
        self._writing = fencing.writing
        self._checkpoints = kept.checkpoints
        self._recall = kept.recall
        self._view = view
        self._following = following
        self._working = working
        self._tasks = tasks

    async def save(self, command: SaveCheckpoint, fencing_token: int, cause: Cause) -> tuple[Checkpoint, int]:
        """The checkpoint, numbered, and the sequence.

        Raises:
            ArtifactUnknown, LabelUnknown, Invalid: nothing was written.
            FencingTokenStale: nothing was written but this (recorded).
            AgentIsRevoked.
        """
        with self._writing.by(cause.tenant, command.agent_id):
            return await self._save(command, fencing_token, cause)

    async def _save(
        self, command: SaveCheckpoint, fencing_token: int, cause: Cause
    ) -> tuple[Checkpoint, int]:
        run_id = require_token(command.run_id, "run_id")
        shown = ShowToken(command.agent_id, command.task_id, fencing_token, cause.actor, cause.at, run_id)
        appended = await self._fencing.answered(self._checkpoints, run_id, SaveCheckpoint, shown, cause)
        if appended is None:
            if command.artifact_sha256:
                require_sha256(command.artifact_sha256, "artifact_sha256")
                if not await self._tasks.keep_artifact(command.artifact_sha256, cause):
                    raise ArtifactUnknown(command.artifact_sha256)
            labelling = self._working.labelling(cause.tenant, command.agent_id, run_id)
            command = replace(command, labelling=labelling)
            appended = await self._fencing.write(self._checkpoints, run_id, command, shown, cause)
        now = self._checkpoints.current(cause.tenant, run_id)
        found = now.newest
        if appended.event_ids:
            found = next((each for each in now.kept if each.sequence == appended.sequence), None)
        if found is None:
            # Asked again, and it has been let go since: the answer is what it was.
            stream = Stream(cause.tenant, "state", "checkpoints", run_id)
            saved = await written_before(self._recall, stream, appended.sequence, CheckpointSaved)
            found = replace(saved.checkpoint, sequence=appended.sequence)
        require_same(found, command, "task_id", "agent_id", "phase", "step", "artifact_sha256", "note")
        return found, appended.sequence

    async def get(self, run_id: str, number: int, reader: Reader | None, cause: Cause) -> Checkpoint:
        """The newest one if `number` is 0. Raises CheckpointUnknown, AgentStateUnknown, Invalid, Unavailable."""
        self._working.require_reader(reader, cause)
        kept = await self._kept(run_id, cause)
        found = [each for each in kept if not number or each.number == number]
        if not found:
            raise CheckpointUnknown(run_id, number)
        checkpoint = found[-1]
        labels = frozenset(checkpoint.labels)
        await self._working.stick(reader, labels, f"checkpoint:{run_id}/{checkpoint.number}", cause)
        return checkpoint

    async def list(
        self, run_id: str, page_size: int, page_token: str, reader: Reader | None, cause: Cause
    ) -> Page[Checkpoint]:
        """Newest first. Raises AgentStateUnknown, Invalid, Unavailable."""
        self._working.require_reader(reader, cause)
        size, before = page_size_of(page_size), number_of(page_token)
        kept = await self._kept(run_id, cause)
        found = [each for each in reversed(kept) if before is None or each.number < before]
        shown, more = found[:size], len(found) > size
        await self._working.stick(reader, labels_of(shown), f"checkpoints:{run_id}", cause)
        return Page(tuple(shown), str(shown[-1].number) if more else "")

    async def _kept(self, run_id: str, cause: Cause) -> Sequence[Checkpoint]:
        """Oldest first."""
        own = self._checkpoints.current(cause.tenant, require_token(run_id, "run_id")).sequence
        await self._following.reached(own)
        known = self._view.checkpoints.get((cause.tenant, run_id))
        return known.kept if known else ()
