"""What a replica that is gone may have left undone of revocations: each replica sees to all of it."""

import logging
from datetime import datetime, timedelta
from typing import NamedTuple

from kernel.events import Cause
from kernel.faults import Fault, Unavailable
from services.policy.domain.actor import POLICY
from services.policy.handlers.revocation import MAX_WAIT_MS, Revocation, Revoked
from services.policy.ports import Clock
from services.policy.ports.told import Fallen, HeldAgents

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

    def __init__(self, agents: HeldAgents, revocation: Revocation, now: Clock) -> None:
        self._agents = agents
        self._revocation = revocation
        self._now = now
        self._pending: dict[tuple[str, str], _Pending] = {}
        self._told: set[Fallen] = set()

    def revoked(self, tenant: str, agent_id: str, sequence: int, at: datetime) -> None:
        self._pending[tenant, agent_id] = _Pending(Revoked(tenant, agent_id, sequence), at, at + GRACE)

    def confirmed(self, tenant: str, agent_id: str) -> None:
        self._pending.pop((tenant, agent_id), None)

    async def revoke_fallen(self) -> int:
        """Revoke those whose parent is, however long ago; how many are left.

        They have no power here any more; everybody else learns of it by their own events. Usually whoever revoked the
        parent has written these before anybody looks.
        """
        fallen = self._agents.fallen()
        self._told.intersection_update(fallen)
        for each in fallen:
            cause = Cause(each.tenant, "", POLICY, self._now())
            try:
                await self._revocation.revoke_child(each.tenant, each.agent_id, each.fell_with, cause)
            except Fault as fault:
                if each not in self._told:
                    _log.warning("child %s is not revoked yet: %s", each.agent_id, fault.text)
                    self._told.add(each)
                if isinstance(fault, Unavailable) and fault.reason == "LOG_UNREACHABLE":
                    break  # for the others as well
        return len(self._agents.fallen())

    async def settle(self) -> int:
        """Write the receipts that are overdue; how many those were."""
        at = self._now()
        overdue = [(key, each) for key, each in self._pending.items() if at >= each.look_at]
        for key, each in overdue:
            receipt = None
            if at - each.at <= RECENT:
                cause = Cause(each.revoked.tenant, "", POLICY, at)
                receipt = await self._revocation.confirm(each.revoked, WAIT_SECONDS, cause, again=True)
            if receipt is not None or at - each.at > RECENT:
                self._pending.pop(key, None)
            elif key in self._pending:
                self._pending[key] = each._replace(look_at=at + GRACE)
        return len(overdue)
