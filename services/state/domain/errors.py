"""What goes wrong, told and counted since the packet, for each run that has the agent."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from kernel.events import require_token
from services.state.domain.bounds import cut, require_agent_id, require_name

MAX_MESSAGE_CHARACTERS = 2000
MAX_ERROR_TYPES = 64
OTHER_ERRORS = "OTHER"
"""Where types beyond the first 64 are counted together, so that made-up types cannot swell an agent."""


RUNS_SET_ASIDE = 256
"""So many of an agent's runs find their counts again, those that lost the agent last; without errors none is kept."""


@dataclass(frozen=True, slots=True)
class RecordError:
    agent_id: str
    task_id: str
    run_id: str
    error_type: str
    message: str
    procedure_violation: bool
    at: datetime
    fencing_token: int = 0
    by: str = ""


@dataclass(frozen=True, slots=True)
class ErrorRecorded:
    agent_id: str
    task_id: str
    run_id: str
    error_type: str
    message: str
    procedure_violation: bool
    at: datetime


@dataclass(frozen=True, slots=True)
class ErrorCounts:
    total: int = 0
    same_error_repeats: int = 0
    """The count of the type seen most often."""
    procedure_violations: int = 0
    by_type: Mapping[str, int] = field(default_factory=dict)


NO_ERRORS = ErrorCounts()


def record(command: RecordError) -> ErrorRecorded:
    """The error, as it is kept. Raises Invalid: a field is out of bounds."""
    require_agent_id(command.agent_id)
    require_name(command.error_type, "error_type")
    for name, value in (("task_id", command.task_id), ("run_id", command.run_id)):
        if value:
            require_token(value, name)
    return ErrorRecorded(
        command.agent_id,
        command.task_id,
        command.run_id,
        command.error_type,
        # Cut, not refused: an error that is not counted would be a way past the budget.
        cut(command.message, MAX_MESSAGE_CHARACTERS),
        command.procedure_violation,
        command.at,
    )


def counted(errors: ErrorCounts, error_type: str, procedure_violation: bool) -> ErrorCounts:
    """`errors` and one more; a violation has a count of its own and is no error besides."""
    if procedure_violation:
        return replace(errors, procedure_violations=errors.procedure_violations + 1)
    known = errors.by_type
    if error_type not in known and len(known) >= MAX_ERROR_TYPES:
        error_type = OTHER_ERRORS
    count = known.get(error_type, 0) + 1
    return replace(
        errors,
        total=errors.total + 1,
        same_error_repeats=max(errors.same_error_repeats, count),
        by_type={**known, error_type: count},
    )


def set_aside(kept: Mapping[str, ErrorCounts], run_id: str, errors: ErrorCounts) -> Mapping[str, ErrorCounts]:
    """`kept`, and what the run that had the agent up to now has spent: another packet is in force from here on."""
    if not run_id or errors == NO_ERRORS:
        return kept
    return put_aside(kept, run_id, together(kept.get(run_id, NO_ERRORS), errors))


def put_aside(kept: Mapping[str, ErrorCounts], run_id: str, counts: ErrorCounts) -> Mapping[str, ErrorCounts]:
    """`kept` with these counts of the run, as the last."""
    others = {each: known for each, known in kept.items() if each != run_id}
    others[run_id] = counts
    return dict(list(others.items())[-RUNS_SET_ASIDE:])


def together(some: ErrorCounts, more: ErrorCounts) -> ErrorCounts:
    """Both, counted as one."""
    if NO_ERRORS in (some, more):
        return more if some == NO_ERRORS else some
    by_type = dict(some.by_type)
    for error_type, count in more.by_type.items():
        by_type[error_type] = by_type.get(error_type, 0) + count
    return ErrorCounts(
        some.total + more.total,
        max(by_type.values(), default=0),
        some.procedure_violations + more.procedure_violations,
        by_type,
    )
