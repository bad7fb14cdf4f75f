"""What is known of earlier runs."""

from typing import Protocol

from services.orchestrator.domain.records import Incident, PastIncident


class Knowledge(Protocol):
    """What is remembered of runs that are over, each tenant's for itself. May be some events behind the log."""

    async def similar(self, tenant: str, incident: Incident) -> tuple[PastIncident, ...]:
        """What is known of the same cause, the most similar first; nothing when it cannot be read. Quick."""
        ...
