"""Labels: what kind of data something holds. They travel with it, and stick to whoever reads it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from kernel.events import require_token
from services.state.domain.bounds import require_agent_id
from services.state.domain.faults import FieldInvalid, LabelUnknown

MAX_LABELS = 16
MAX_RUN_LABELS = 256
"""What a run may take on by reading."""
_LABEL = re.compile(r"[a-z][a-z0-9_.-]{0,63}")


@dataclass(frozen=True, slots=True)
class Labelling:
    """Which labels something that is written may bear, and which it bears in any case."""

    names: frozenset[str] | None = None
    """Those that the policy set in force has; `None` when it names none, and any will do."""
    version: str = ""
    """Of that set."""
    carried: frozenset[str] = frozenset()
    """What the run that writes has taken on by reading. They go where it writes, also when the set has lost them."""

    def of(self, labels: Iterable[str]) -> tuple[str, ...]:
        """What is written bears, each label once and in order, when `labels` are asked for.

        Raises:
            Invalid: a label is malformed, or there are too many.
            LabelUnknown: the policy set does not have it.
        """
        asked = sorted(set(labels))
        if len(asked) > MAX_LABELS:
            raise FieldInvalid("labels", f"has {len(asked)} entries; at most {MAX_LABELS} are allowed")
        for label in asked:
            if _LABEL.fullmatch(label) is None:
                raise FieldInvalid(
                    "labels", "each must be 1 to 64 characters of a-z, 0-9, '_', '.', '-', a letter first"
                )
            if self.names is not None and label not in self.names and label not in self.carried:
                raise LabelUnknown(label, self.names, self.version)
        return tuple(sorted(self.carried.union(asked)))


ANY_LABEL = Labelling()


@dataclass(frozen=True, slots=True)
class SetTold:
    """What state knows of a policy set."""

    version: str
    labels: frozenset[str] | None
    stuck_seconds: int
    """0: it does not say."""


@dataclass(frozen=True, slots=True)
class LabelRun:
    """A run is about to read something labelled."""

    agent_id: str
    run_id: str
    labels: tuple[str, ...]
    by_reading: str
    at: datetime


@dataclass(frozen=True, slots=True)
class RunLabelled:
    agent_id: str
    run_id: str
    labels: tuple[str, ...]
    """The new ones."""
    by_reading: str
    at: datetime


def stick(known: tuple[str, ...], command: LabelRun) -> RunLabelled | None:
    """The labels that the run does not have yet, taken on; `None` when there are none.

    Raises:
        Invalid: a field is out of bounds, or the run would have more labels than there is room for.
    """
    require_agent_id(command.agent_id)
    require_token(command.run_id, "run_id")
    new = tuple(sorted(set(command.labels) - set(known)))
    if not new:
        return None
    if len(known) + len(new) > MAX_RUN_LABELS:
        raise FieldInvalid("labels", f"would be more than the {MAX_RUN_LABELS} that a run may take on")
    return RunLabelled(command.agent_id, command.run_id, new, command.by_reading, command.at)
