"""Approvals that people have answered while their run still waits, for others or for its agent."""

from services.orchestrator.domain.run import Run
from services.orchestrator.handlers.sharing import Key


class Answers:
    """Held by run, until it goes on or is over; heard from the log, and so the same at each replica."""

    def __init__(self) -> None:
        self._of: dict[Key, frozenset[str]] = {}

    def heard(self, key: Key, run: Run | None, approval_id: str) -> None:
        """One was answered; maybe before its run says that it waits for it."""
        if _waits(run):
            self._of[key] = self.of(key) | {approval_id}

    def noted(self, key: Key, run: Run | None) -> None:
        """Something was recorded of a run of which some are held."""
        if not _waits(run):
            self._of.pop(key, None)

    def of(self, key: Key) -> frozenset[str]:
        return self._of.get(key, frozenset())


def _waits(run: Run | None) -> bool:
    return run is not None and run.started is not None and not run.over and not run.approvals_settled
