"""Checkpoints of a run: where it stood, and what its agent needs to go on from there.

The newest `KEPT` are kept, so that a long run does not grow without end; numbers are not used again.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeAlias

from kernel.decider import Decider
from kernel.events import require_token
from services.state.domain.bounds import require_agent_id, require_name, require_text
from services.state.domain.labels import Labelling
from services.state.domain.sequenced import Sequenced, placed
from services.state.domain.task import require_sha256

KEPT = 20

# wants


@dataclass(frozen=True, slots=True)
class SaveCheckpoint:
    run_id: str
    task_id: str
    agent_id: str
    phase: str
    step: str
    artifact_sha256: str
    note: str
    labels: tuple[str, ...]
    labelling: Labelling
    at: datetime


# facts


@dataclass(frozen=True, slots=True)
class Checkpoint:
    run_id: str
    number: int
    task_id: str
    agent_id: str
    phase: str
    step: str
    artifact_sha256: str
    """The agent's own state, an artifact; empty when the place alone says enough."""
    note: str
    at: datetime
    labels: tuple[str, ...] = ()
    sequence: int = 0


@dataclass(frozen=True, slots=True)
class CheckpointSaved:
    checkpoint: Checkpoint


Event: TypeAlias = CheckpointSaved

# state


@dataclass(frozen=True, slots=True)
class Checkpoints:
    kept: tuple[Checkpoint, ...] = ()
    """Oldest first."""
    sequence: int = 0

    @property
    def newest(self) -> Checkpoint | None:
        return self.kept[-1] if self.kept else None


def decide(checkpoints: Checkpoints, command: SaveCheckpoint) -> CheckpointSaved | None:
    """The checkpoint, numbered; `None` when the newest one says the same.

    Raises:
        Invalid: a field is out of bounds.
        LabelUnknown: the policy set does not have the label.
    """
    require_token(command.run_id, "run_id")
    require_token(command.task_id, "task_id")
    require_agent_id(command.agent_id)
    require_name(command.phase, "phase")
    if command.step:
        require_name(command.step, "step")
    if command.artifact_sha256:
        require_sha256(command.artifact_sha256, "artifact_sha256")
    require_text(command.note, "note", 1000)
    newest = checkpoints.newest
    found = Checkpoint(
        command.run_id,
        newest.number + 1 if newest else 1,
        command.task_id,
        command.agent_id,
        command.phase,
        command.step,
        command.artifact_sha256,
        command.note,
        command.at,
        command.labelling.of(command.labels),
    )
    if newest is not None and replace(found, number=newest.number, at=newest.at) == replace(
        newest, sequence=0
    ):
        return None
    return CheckpointSaved(found)


def evolve(checkpoints: Checkpoints, event: Event | Sequenced[Event]) -> Checkpoints:
    """`checkpoints` after `event`."""
    told, sequence = placed(event)
    saved = replace(told.checkpoint, sequence=sequence)
    return Checkpoints((*checkpoints.kept, saved)[-KEPT:], sequence)


CHECKPOINTS: Decider[SaveCheckpoint, Checkpoints, Event | Sequenced[Event]] = Decider(
    "state", "checkpoints", Checkpoints(), decide, evolve
)
