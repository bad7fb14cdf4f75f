"""From the event log to the aggregates, the view and the store."""

from services.state.reactor.audit import StoreAudit
from services.state.reactor.follow import Reactor
from services.state.reactor.health import followed, in_step
from services.state.reactor.judging import Judging
from services.state.reactor.mirror import StoreMirror
from services.state.reactor.sets import HeldSets
from services.state.reactor.sharing import Sharing
from services.state.reactor.watching import WatchFeed

__all__ = [
    "HeldSets",
    "Judging",
    "Reactor",
    "Sharing",
    "StoreAudit",
    "StoreMirror",
    "WatchFeed",
    "followed",
    "in_step",
]
