"""Labels: what kind of data something holds. They travel with it, and stick to whoever reads it."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from kernel.events import require_token
from services.state.domain.bounds import require_agent_id
from services.state.domain.faults import FieldInvalid, LabelUnknown

MAX_LABELS = 16
MAX_RUN_LABELS = 256
"""What a run may take on by reading."""
RUNS_KEPT = 64
"""So many of an agent's runs are known by what each has read, those that took something on last."""
_FILTER_BYTES = 8192
_PROBES = 4
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


@dataclass(frozen=True, slots=True)
class RunLabels:
    """What each run of an agent has read. A run that took nothing on has no place here, so that most cost nothing.

    Runs end unheard, and one may come back after any time. The one that took something on longest ago is let go, but
    not forgotten: a Bloom filter (Bloom 1970, "Space/time trade-offs in hash coding with allowable errors") knows it
    again, and it bears what all that were let go had read. Where the filter errs, a run bears more labels than it
    must, never fewer.
    """

    runs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    let_go: bytes = b""
    of_let_go: tuple[str, ...] = ()

    def of(self, *run_ids: str) -> tuple[str, ...]:
        """What these runs have read, in order."""
        found = {label for run_id in run_ids for label in self.runs.get(run_id, ())}
        if self.let_go and any(self._was_let_go(run_id) for run_id in run_ids):
            found.update(self.of_let_go)
        return tuple(sorted(found))

    def every(self) -> tuple[str, ...]:
        """What any of the agent's runs has read."""
        return tuple(sorted({*self.of_let_go, *(label for each in self.runs.values() for label in each)}))

    def after(self, event: RunLabelled) -> "RunLabels":
        """These, and what `event` tells."""
        runs = dict(self.runs)
        known = runs.pop(event.run_id, ())
        runs[event.run_id] = tuple(sorted({*known, *event.labels}))
        if len(runs) <= RUNS_KEPT:
            return RunLabels(runs, self.let_go, self.of_let_go)
        oldest = next(iter(runs))
        of_let_go = tuple(sorted({*self.of_let_go, *runs.pop(oldest)}))
        filled = bytearray(self.let_go or bytes(_FILTER_BYTES))
        for byte, bit in _probes(oldest):
            filled[byte] |= bit
        return RunLabels(runs, bytes(filled), of_let_go)

    def _was_let_go(self, run_id: str) -> bool:
        return all(self.let_go[byte] & bit for byte, bit in _probes(run_id))


def _probes(run_id: str) -> Iterator[tuple[int, int]]:
    digest = hashlib.sha256(run_id.encode()).digest()
    for start in range(0, 2 * _PROBES, 2):
        at = int.from_bytes(digest[start : start + 2], "big") % (_FILTER_BYTES * 8)
        yield at // 8, 1 << at % 8


NO_LABELS = RunLabels()
