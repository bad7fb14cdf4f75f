"""What the follower delivers: folded into the aggregates that decide, and into the view the store is filled from."""

from collections.abc import Sequence
from typing import Protocol

from chassis.eventlog.aggregates import HeldAggregates
from chassis.eventlog.codec import Unreadable
from chassis.eventlog.follower import Follower
from chassis.eventlog.headers import repeats
from chassis.telemetry import get_logger
from kernel.events import Recorded
from services.state.domain.taken import SnapshotTaken
from services.state.domain.view import Place, View
from services.state.wire import CODEC

_log = get_logger("state.reactor")


class Fed(Protocol):
    """Aggregates that are told what was recorded."""

    async def take(self, events: Sequence[Recorded]) -> None: ...


class Behind(Protocol):
    """Told what has changed, so that it can catch up."""

    def changed(self, places: Sequence[Place]) -> None: ...


class Reactor:
    """The one follower of this process delivers to `deliver`."""

    def __init__(self, view: View, mirror: Behind) -> None:
        self._view = view
        self._mirror = mirror
        self._aggregates: tuple[Fed, ...] = ()

    def feeds(self, *aggregates: Fed) -> None:
        """Tell these what was recorded, in this order, from now on."""
        self._aggregates += aggregates

    def led_by(self, follower: Follower, *, alone: bool) -> None:
        """`follower` delivers here. Unless there is but one replica, what appends nothing is decided again when all is
        known."""
        for each in self._aggregates:
            if isinstance(each, HeldAggregates):
                each.following, each.second_look = follower, not alone

    async def deliver(self, events: Sequence[Recorded]) -> None:
        """Fold `events`; the store follows by itself, so that it may be down without holding anything up."""
        once: list[Recorded] = []
        for recorded in events:
            # Told one by one: should the next one fail, this one is known and will not be told again.
            changed = fold(self._view, recorded)
            if changed is not None:
                self._mirror.changed(changed)
                once.append(recorded)
        for aggregates in self._aggregates:
            # Who writes behind a copy has to know where it stands; nobody else is told of it.
            await aggregates.take(events if isinstance(aggregates, HeldAggregates) else once)


def fold(view: View, recorded: Recorded) -> Sequence[Place] | None:
    """Fold one event into `view`; answers what it changed, and `None` for a copy of one that is there already.

    One that cannot be read is passed over, and said so.
    """
    if recorded.event_type == "SigningKeyAnnounced":
        return ()  # tells who speaks, and changes nothing
    try:
        found = CODEC.decode(recorded)
    except Unreadable as problem:
        _log.error(
            "event passed over", sequence=recorded.sequence, subject=recorded.subject, problem=problem.text
        )
        return ()
    event: object = found.event
    if isinstance(event, SnapshotTaken):
        return ()  # tells of the log, and changes nothing
    stream = recorded.stream
    if recorded.sequence > view.sequence and stream.context == "state":
        newest = view.newest(stream.tenant, stream.aggregate, stream.id)
        if repeats(recorded, newest):
            return None
    return view.take(stream.tenant, stream.id, found.event, recorded.sequence)
