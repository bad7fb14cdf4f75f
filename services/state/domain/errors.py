"""What went wrong since the packet, counted."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

MAX_ERROR_TYPES = 64
OTHER_ERRORS = "OTHER"
"""Where types beyond the first 64 are counted together, so that made-up types cannot swell an agent."""


@dataclass(frozen=True, slots=True)
class ErrorCounts:
    total: int = 0
    same_error_repeats: int = 0
    """The count of the type seen most often."""
    procedure_violations: int = 0
    by_type: Mapping[str, int] = field(default_factory=dict)


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
