"""What a follower reads from, whatever carries it.

A feed delivers in order and without a gap, or breaks and says why; its follower then opens another from where
it stands.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from kernel.events import Recorded


class FeedBroken(Exception):
    """The feed cannot go on; nothing is lost as long as another begins where it was."""


class LogDiverged(Exception):
    """What was read before is no longer what the log holds: `STREAM_REGRESSION` or `GAP`."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Batch:
    """Events in order. Once they are delivered, everything that matches up to `upto` has been."""

    events: list[Recorded]
    upto: int
    lag: int
    """How many matching events were still to come when the last of these was sent."""
    at_end: float | None
    """When (`chassis.process.monotonic`) the log was known to end at `upto` or before; None when it is not known."""


class Feed(Protocol):
    """What a follower reads from."""

    async def next(self) -> Batch:
        """The next events, or none and a newer `upto`. Asking for more says that the last ones are done with.

        Raises:
            FeedBroken: open another.
        """
        ...

    async def probe(self) -> None:
        """Make `next` answer soon how far it is to the end."""
        ...

    def hurry(self) -> None:
        """Somebody waits: what is being gathered comes now."""
        ...

    async def close(self) -> None: ...


class Source(Protocol):
    """A log that can be followed."""

    async def open(
        self, filters: Sequence[str], after: int, last: Recorded | None, *, gather_seconds: float = 0.0
    ) -> Feed:
        """A feed of what matches any of `filters` behind sequence `after`; `last` is what was read last.

        Events may be held back for `gather_seconds`, so that they come together.

        Raises:
            FeedBroken, Unavailable: try again later.
            LogDiverged: never try again.
        """
        ...
