"""A task: the artifacts made for it, and what a revoked agent left for the next one."""

import re
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeAlias, assert_never

from kernel.decider import Decider
from kernel.events import require_token
from services.state.domain.bounds import require_agent_id, require_text, require_texts
from services.state.domain.faults import FieldInvalid
from services.state.domain.sequenced import Sequenced

MAX_CONTENT_BYTES = 32 * 1024 * 1024
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MEDIA_TYPE = re.compile(r"[a-z0-9.+-]{1,64}/[A-Za-z0-9.+-]{1,64}(; ?[a-z-]{1,32}=[A-Za-z0-9._-]{1,64})?")


@dataclass(frozen=True, slots=True)
class Artifact:
    """Content in the artifact directory, by its hash."""

    sha256: str
    name: str
    media_type: str
    size_bytes: int
    task_id: str
    run_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class RevocationReason:
    type: str = ""
    details: str = ""


@dataclass(frozen=True, slots=True)
class LastKnownState:
    phase: str = ""
    step: str = ""


@dataclass(frozen=True, slots=True)
class Handoff:
    task_id: str
    previous_agent_id: str
    revoked: bool
    revocation_reason: RevocationReason
    last_known_state: LastKnownState
    what_was_tried: tuple[str, ...]
    blocking_issue: str
    required_next_actions: tuple[str, ...]
    constraints_reminder: tuple[str, ...]
    artifacts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StoreArtifact:
    artifact: Artifact


@dataclass(frozen=True, slots=True)
class WriteHandoff:
    handoff: Handoff
    at: datetime


Command: TypeAlias = StoreArtifact | WriteHandoff


@dataclass(frozen=True, slots=True)
class ArtifactStored:
    artifact: Artifact


@dataclass(frozen=True, slots=True)
class HandoffWritten:
    handoff: Handoff
    at: datetime


Event: TypeAlias = ArtifactStored | HandoffWritten


@dataclass(frozen=True, slots=True)
class Task:
    artifacts: tuple[Artifact, ...] = ()
    handoff: HandoffWritten | None = None
    sequence: int = 0
    """Where its newest event stands in the log."""


def require_sha256(value: str, field: str = "sha256") -> str:
    """Raises Invalid unless `value` is a SHA-256 in lower-case hex."""
    if _SHA256.fullmatch(value) is None:
        raise FieldInvalid(field, "must be 64 lower-case hex digits")
    return value


def decide(task: Task, command: Command) -> Event | None:
    """What happens; `None` when the task has this artifact already.

    Raises:
        Invalid: a field is out of bounds.
    """
    match command:
        case StoreArtifact(artifact=artifact):
            require_sound_artifact(artifact)
            return None if find(task, artifact) else ArtifactStored(artifact)
        case WriteHandoff(handoff=handoff, at=at):
            _require_sound_handoff(handoff)
            return HandoffWritten(handoff, at)
        case _:
            assert_never(command)


def find(task: Task, wanted: Artifact) -> Artifact | None:
    """The artifact of the same content, name and run, if the task has it."""
    for artifact in task.artifacts:
        if (artifact.sha256, artifact.name, artifact.run_id) == (wanted.sha256, wanted.name, wanted.run_id):
            return artifact
    return None


def require_sound_artifact(artifact: Artifact) -> None:
    """Raises Invalid when a field is out of bounds."""
    require_sha256(artifact.sha256)
    require_token(artifact.task_id, "task_id")
    if artifact.run_id:
        require_token(artifact.run_id, "run_id")
    if not artifact.name or not artifact.name.isprintable():
        raise FieldInvalid("name", "must be printable and not empty")
    require_text(artifact.name, "name", 200)
    if _MEDIA_TYPE.fullmatch(artifact.media_type) is None:
        raise FieldInvalid("media_type", "must be a media type, as text/plain")


def _require_sound_handoff(handoff: Handoff) -> None:
    require_token(handoff.task_id, "handoff.task_id")
    require_agent_id(handoff.previous_agent_id, "handoff.previous_agent_id")
    reason, state = handoff.revocation_reason, handoff.last_known_state
    texts = {
        "revocation_reason.type": (reason.type, 128),
        "revocation_reason.details": (reason.details, 4000),
        "last_known_state.phase": (state.phase, 128),
        "last_known_state.step": (state.step, 128),
        "blocking_issue": (handoff.blocking_issue, 4000),
    }
    for name, (text, max_characters) in texts.items():
        require_text(text, f"handoff.{name}", max_characters)
    lists = {
        "what_was_tried": handoff.what_was_tried,
        "required_next_actions": handoff.required_next_actions,
        "constraints_reminder": handoff.constraints_reminder,
    }
    for name, values in lists.items():
        require_texts(values, f"handoff.{name}", 64, 2000)
    require_texts(handoff.artifacts, "handoff.artifacts", 256, 64)
    for sha256 in handoff.artifacts:
        require_sha256(sha256, "handoff.artifacts")


def evolve(task: Task, event: Event | Sequenced[Event]) -> Task:
    """`task` after `event`."""
    match event:
        case Sequenced(event=inner, sequence=sequence):
            return replace(evolve(task, inner), sequence=sequence)
        case ArtifactStored(artifact=artifact):
            return replace(task, artifacts=(*task.artifacts, artifact))
        case HandoffWritten():
            return replace(task, handoff=event)
        case _:
            assert_never(event)


TASK: Decider[Command, Task, Event | Sequenced[Event]] = Decider("state", "task", Task(), decide, evolve)
