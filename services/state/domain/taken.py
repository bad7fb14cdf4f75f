"""A snapshot, as the log names it; and a copy of the view that stands still while one is written."""

from copy import copy
from dataclasses import dataclass
from datetime import datetime

from services.state.domain.view import View


@dataclass(frozen=True, slots=True)
class SnapshotTaken:
    upto_sequence: int
    """Everything in the log up to here is in it; what comes behind is to be followed."""
    artifact_sha256: str
    state_hash: str
    size_bytes: int
    at: datetime


def still(view: View) -> View:
    """What `view` is now. What it holds are records that never change, so that its tables alone are copied."""
    other = View()
    for name, value in vars(view).items():
        setattr(other, name, copy(value))
    return other
