"""Tells the watching what has been followed. It is told first, while the view and what is told are still alike."""

from collections.abc import Sequence

from chassis import metrics
from chassis.eventlog.codec import Unreadable
from kernel.events import Recorded
from services.state.handlers.watching import Watching
from services.state.wire import CODEC


class Watched:
    """Is fed like an aggregate."""

    def __init__(self, watching: Watching) -> None:
        self._watching = watching
        metrics.show("provost_state_watches", "Watches that are open.", lambda: watching.open)
        metrics.show(
            "provost_state_watch_lag", "How far the slowest watch is behind.", lambda: watching.behind
        )

    async def take(self, events: Sequence[Recorded]) -> None:
        """`events`, which the view has taken, have come."""
        for recorded in events:
            try:
                found = CODEC.decode(recorded)
            except Unreadable:
                continue  # who folds it has said so
            stream = recorded.stream
            self._watching.take(stream.tenant, stream.id, found.event, recorded.sequence)
