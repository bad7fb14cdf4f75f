"""The lifecycle of a run: its phases, in their order, and the states it can be in."""

from dataclasses import dataclass
from enum import StrEnum


class Phase(StrEnum):
    BOOTSTRAP = "BOOTSTRAP"
    PREFLIGHT = "PREFLIGHT"
    PLAN = "PLAN"
    EXECUTE = "EXECUTE"
    VERIFY = "VERIFY"
    PACKAGE = "PACKAGE"
    REPORT = "REPORT"
    EXIT = "EXIT"


ORDER = tuple(Phase)


class RunState(StrEnum):
    RUNNING = "RUNNING"
    WAITING = "WAITING"
    COMPLETED = "COMPLETED"
    REFUSED = "REFUSED"
    FAILED = "FAILED"
    REVOKED = "REVOKED"


OVER = frozenset({RunState.COMPLETED, RunState.REFUSED, RunState.FAILED, RunState.REVOKED})


@dataclass(frozen=True, slots=True)
class Entry:
    """The phase that a run goes into, and the lock under which it does."""

    phase: Phase
    fencing_token: int
