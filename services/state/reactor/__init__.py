"""From the event log to the aggregates, the view and the store."""

from services.state.reactor.audit import StoreAudit
from services.state.reactor.follow import Reactor
from services.state.reactor.health import keep_health
from services.state.reactor.mirror import StoreMirror

__all__ = ["Reactor", "StoreAudit", "StoreMirror", "keep_health"]
