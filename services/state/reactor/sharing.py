"""What is large is kept in memory once: where what decides and what is mirrored are at the same event, they are one."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from kernel.events import Recorded
from kernel.faults import Unavailable
from kernel.ports import Aggregates
from services.state.domain.view import View
from services.state.handlers import Kept


class Sharing:
    """Told last what was recorded, when aggregates and view have folded it, each by itself."""

    def __init__(self, kept: Kept, view: View) -> None:
        self._large: dict[str, Aggregates[Any, Any]] = {
            "task": kept.tasks,
            "board": kept.boards,
            "inbox": kept.inboxes,
            "checkpoints": kept.checkpoints,
        }
        self._view = view

    async def take(self, events: Sequence[Recorded]) -> None:
        """Let the view hold the aggregates' own states. One that is ahead of the view is left for the next time."""
        for stream in {each.stream for each in events}:
            aggregates = self._large.get(stream.aggregate)
            if aggregates is None:
                continue
            with suppress(Unavailable):  # one that is closed, because an event of it cannot be read
                state = aggregates.current(stream.tenant, stream.id)
                self._view.share(stream.aggregate, stream.tenant, stream.id, state)
