"""Revocations that nobody has confirmed yet: the replica that wanted to may be gone, so each sees to all of them."""

import logging
from datetime import datetime, timedelta
from typing import NamedTuple

from kernel.events import Cause
from kernel.faults import Fault
from services.policy.handlers.revocation import MAX_WAIT_MS, Revocation, Revoked
from services.policy.ports import Clock

ACTOR = "service:policy"
GRACE = timedelta(milliseconds=MAX_WAIT_MS, seconds=2)
"""So long whoever revoked may still be at it."""
RECENT = timedelta(minutes=10)
"""What was revoked longer ago gets no receipt any more: nobody remembers what was said."""
WAIT_SECONDS = 2.0
_log = logging.getLogger(__name__)


class _Pending(NamedTuple):
    revoked: Revoked
    at: datetime
    look_at: datetime


class Unconfirmed:
    """Told of revocations and receipts as they are followed."""

    def __init__(self, revocation: Revocation, now: Clock) -> None:
        self._revocation = revocation
        self._now = now
        self._pending: dict[tuple[str, str], _Pending] = {}
        self._orphans: dict[tuple[str, str], str] = {}

    def revoked(self, tenant: str, agent_id: str, sequence: int, at: datetime) -> None:
        self._pending[tenant, agent_id] = _Pending(Revoked(tenant, agent_id, sequence), at, at + GRACE)

    def confirmed(self, tenant: str, agent_id: str) -> None:
        self._pending.pop((tenant, agent_id), None)

    def registered(self, tenant: str, agent_id: str) -> None:
        """One that was registered while its parent was being revoked was not revoked with it: it is seen to."""
        parent = self._revocation.revoked_parent(tenant, agent_id)
        if parent:
            self._orphans[tenant, agent_id] = parent

    async def settle(self) -> int:
        """Revoke who should have been, and write the receipts that are overdue; how many those were."""
        at = self._now()
        for (tenant, agent_id), parent in list(self._orphans.items()):
            try:
                await self._revocation.revoke_child(tenant, agent_id, parent, Cause(tenant, "", ACTOR, at))
                del self._orphans[tenant, agent_id]
            except Fault as fault:
                _log.warning("child %s is not revoked yet: %s", agent_id, fault.text)
        overdue = [(key, each) for key, each in self._pending.items() if at >= each.look_at]
        for key, each in overdue:
            receipt = None
            if at - each.at <= RECENT:
                cause = Cause(each.revoked.tenant, "", ACTOR, at)
                receipt = await self._revocation.confirm(each.revoked, WAIT_SECONDS, cause, again=True)
            if receipt is not None or at - each.at > RECENT:
                self._pending.pop(key, None)
            elif key in self._pending:
                self._pending[key] = each._replace(look_at=at + GRACE)
        return len(overdue)
