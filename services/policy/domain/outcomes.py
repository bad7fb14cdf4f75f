"""What runs came to, as far as policy needs it: told by the orchestrator's and by state's events, not decided here."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class RunActed:
    """From here on the run may have done something outside."""

    run_id: str
    agent_id: str


@dataclass(frozen=True, slots=True)
class RunChecked:
    """VERIFY looked at `checks` things; `passed`: all of them were as they should be."""

    run_id: str
    agent_id: str
    checks: int
    passed: bool


@dataclass(frozen=True, slots=True)
class RunOver:
    """`completed`: it came to its end by itself; `refused`: it never began."""

    run_id: str
    agent_id: str
    completed: bool
    refused: bool
    compliant: bool


@dataclass(frozen=True, slots=True)
class ErrorNoted:
    """State counted an error against an agent; `violation`: of procedure."""

    agent_id: str
    task_id: str
    run_id: str
    violation: bool
    at: datetime


Outcome = RunActed | RunChecked | RunOver | ErrorNoted
