"""From the event log to the aggregates, the view and the store."""

from services.state.reactor.audit import StoreAudit
from services.state.reactor.follow import Reactor
from services.state.reactor.health import followed, kept_up
from services.state.reactor.judging import Watchers
from services.state.reactor.mirror import StoreMirror
from services.state.reactor.sets import HeldSets
from services.state.reactor.sharing import Sharing
from services.state.reactor.watching import Watched

__all__ = [
    "HeldSets",
    "Reactor",
    "Sharing",
    "StoreAudit",
    "StoreMirror",
    "Watched",
    "Watchers",
    "followed",
    "kept_up",
]
