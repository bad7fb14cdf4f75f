"""Tells the watching what has been followed. It is told first, while the view and what is told are still alike."""

from collections.abc import Awaitable, Callable, Sequence

from chassis import metrics
from chassis.eventlog.codec import Unreadable
from kernel.events import Recorded
from services.state.domain.view import View
from services.state.handlers.watching import HEARTBEAT_SECONDS, Watching
from services.state.wire import CODEC
from services.state.wire.watching import change_to_wire, end_to_wire


class WatchFeed:
    """Is fed like an aggregate."""

    def __init__(
        self,
        view: View,
        reached: Callable[[int], Awaitable[None]],
        log_end: Callable[[], Awaitable[int]],
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
    ) -> None:
        self.watching = watching = Watching(
            view, change_to_wire, end_to_wire, reached, log_end, heartbeat_seconds=heartbeat_seconds
        )
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
            self.watching.take(stream.tenant, stream.id, found.event, recorded.sequence)
