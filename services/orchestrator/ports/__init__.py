"""What the orchestrator needs of others. Doors lead to peers; each call is safe to repeat with the same cause.

A door raises the peer's own faults, and `Unavailable` when the peer cannot be reached: the step is then tried again.
Here is what every use case is given; the ports themselves have a file for each subject.
"""

from datetime import datetime
from typing import Protocol

from kernel.ports import Aggregates
from services.orchestrator.domain.run import Run
from services.orchestrator.domain.wants import Command

Runs = Aggregates[Run, Command]


class Clock(Protocol):
    """Now, UTC and aware."""

    def __call__(self) -> datetime: ...
