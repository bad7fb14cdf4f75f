"""A task: the artifacts made for it, and what a revoked agent left for the next one."""

import re
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeAlias, assert_never

from kernel.decider import Decider
from kernel.events import require_token
from services.state.domain.bounds import cut, require_agent_id, require_text
from services.state.domain.faults import ArtifactsFull, FieldInvalid
from services.state.domain.growing import Growing
from services.state.domain.labels import ANY_LABEL, Labelling
from services.state.domain.sequenced import Sequenced

MAX_CONTENT_BYTES = 32 * 1024 * 1024
MAX_ARTIFACTS = 10_000
"""Of one task."""
SEALED, SEAL_BYTES = b"sealed:v1:", 1024
"""How sealed content begins, and what it may be larger than what is in it."""
MAX_HANDOFF_ENTRIES, MAX_HANDOFF_CHARACTERS = 64, 1000
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
    labels: tuple[str, ...] = ()

    @property
    def same(self) -> tuple[str, str, str, tuple[str, ...]]:
        """What two puts of one artifact to a task have in common."""
        return self.sha256, self.name, self.run_id, self.labels


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
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StoreArtifact:
    artifact: Artifact


@dataclass(frozen=True, slots=True)
class WriteHandoff:
    handoff: Handoff
    at: datetime
    labelling: Labelling = ANY_LABEL


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
    artifacts: Growing[Artifact] = field(default_factory=Growing)
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
        ArtifactsFull: the task has as many as it may.
        LabelUnknown: the policy set does not have a handoff's label.
    """
    match command:
        case StoreArtifact(artifact=artifact):
            require_sound_artifact(artifact)
            require_room(task, artifact)
            return None if find(task, artifact) else ArtifactStored(artifact)
        case WriteHandoff(handoff=handoff, at=at, labelling=labelling):
            return HandoffWritten(replace(_cut(handoff), labels=labelling.of(handoff.labels)), at)
        case _:
            assert_never(command)


def find(task: Task, wanted: Artifact) -> Artifact | None:
    """The artifact of the same content, name, run and labels, if the task has it."""
    return task.artifacts.find(wanted)


def require_room(task: Task, artifact: Artifact) -> None:
    """Raises ArtifactsFull unless the task has room for it, or has it."""
    if len(task.artifacts) >= MAX_ARTIFACTS and find(task, artifact) is None:
        raise ArtifactsFull(artifact.task_id, MAX_ARTIFACTS)


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


def _cut(handoff: Handoff) -> Handoff:
    """`handoff` within bounds. Cut, not refused: one that is refused for its length leaves the next agent nothing.

    Raises:
        Invalid: it does not say whose it is, or names an artifact that cannot be one.
    """
    require_token(handoff.task_id, "handoff.task_id")
    require_agent_id(handoff.previous_agent_id, "handoff.previous_agent_id")
    for sha256 in handoff.artifacts:
        require_sha256(sha256, "handoff.artifacts")
    reason, state = handoff.revocation_reason, handoff.last_known_state
    return replace(
        handoff,
        revocation_reason=RevocationReason(_text(reason.type), _text(reason.details)),
        last_known_state=LastKnownState(_text(state.phase), _text(state.step)),
        what_was_tried=_texts(handoff.what_was_tried),
        blocking_issue=_text(handoff.blocking_issue),
        required_next_actions=_texts(handoff.required_next_actions),
        constraints_reminder=_texts(handoff.constraints_reminder),
        artifacts=handoff.artifacts[:MAX_HANDOFF_ENTRIES],
    )


def _text(value: str) -> str:
    return cut(value, MAX_HANDOFF_CHARACTERS)


def _texts(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(_text(value) for value in values if value.strip())[:MAX_HANDOFF_ENTRIES]


def evolve(task: Task, event: Event | Sequenced[Event]) -> Task:
    """`task` after `event`."""
    match event:
        case Sequenced(event=inner, sequence=sequence):
            return replace(evolve(task, inner), sequence=sequence)
        case ArtifactStored(artifact=artifact):
            return replace(task, artifacts=task.artifacts.with_(artifact))
        case HandoffWritten():
            return replace(task, handoff=event)
        case _:
            assert_never(event)


TASK: Decider[Command, Task, Event | Sequenced[Event]] = Decider("state", "task", Task(), decide, evolve)
