"""What agents have shown of themselves, folded from what runs came to, and who has to be looked at."""

import asyncio
from collections import deque
from collections.abc import Sequence

from chassis.eventlog.codec import Codec, Unreadable
from chassis.telemetry import get_logger
from kernel.events import Recorded
from services.policy.domain.agent import AgentRegistered
from services.policy.domain.approval import ApprovalRequested
from services.policy.domain.demand import PROMOTE
from services.policy.domain.outcomes import ErrorNoted, RunActed, RunChecked, RunOver
from services.policy.domain.policyset_published import PolicySetPublished, PolicySetRolledBack
from services.policy.domain.standing import AgentDemoted, AgentPromoted, AgentResumed
from services.policy.domain.track_record import NOTHING_SHOWN, TrackRecord, TrackRecords
from services.policy.domain.votes import ApprovalAnswered

AgentKey = tuple[str, str]
"""Tenant and agent id."""

_log = get_logger("policy.reactor")


class HeldRecords:
    """Implements `Records`, and knows whose have changed since somebody looked."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._records: dict[str, TrackRecords] = {}
        self._promotions: dict[AgentKey, tuple[str, ...]] = {}
        self._awaited: dict[tuple[str, str], str] = {}
        self._children: dict[AgentKey, set[str]] = {}
        self._noted: deque[str] = deque(maxlen=REMEMBERED_EVENTS)
        self._touched: set[AgentKey] = set()
        self._changed = asyncio.Event()

    def current(self, tenant: str, agent_id: str) -> TrackRecord:
        known = self._records.get(tenant)
        return NOTHING_SHOWN if known is None else known.of(agent_id)

    def promotions(self, tenant: str, agent_id: str) -> tuple[str, ...]:
        return self._promotions.get((tenant, agent_id), ())

    def touch(self, tenant: str, agent_id: str) -> None:
        """Somebody has to look at this agent again."""
        self._touched.add((tenant, agent_id))
        self._changed.set()

    async def changed(self) -> frozenset[AgentKey]:
        """Whom to look at, as soon as there is somebody; each is named once for any number of changes."""
        await self._changed.wait()
        self._changed.clear()
        touched, self._touched = frozenset(self._touched), set()
        return touched

    async def take(self, events: Sequence[Recorded]) -> None:
        """What cannot be read counts for nothing: nobody is moved by it."""
        for recorded in events:
            if recorded.event_type not in _TELLING:
                continue
            try:
                self._heed(recorded.stream.tenant, recorded.event_id, self._codec.decode(recorded))
            except Unreadable as problem:
                _log.error("record not read", problem=problem.text)

    def _heed(self, tenant: str, event_id: str, event: object) -> None:
        records = self._records.setdefault(tenant, TrackRecords())
        match event:
            case RunActed() | RunChecked() | RunOver() | ErrorNoted():
                if isinstance(event, ErrorNoted) and event.violation:
                    if event_id in self._noted:
                        return  # told twice
                    self._noted.append(event_id)
                if agent := records.take(event):
                    self.touch(tenant, agent)
            case PolicySetPublished() | PolicySetRolledBack():
                for agent_id in records.records:
                    self.touch(tenant, agent_id)
            case _:
                self._decided(tenant, records, event)

    def _decided(self, tenant: str, records: TrackRecords, event: object) -> None:
        match event:
            case AgentRegistered(agent_id=agent_id, parent_agent_id=parent):
                if parent:
                    self._children.setdefault((tenant, parent), set()).add(agent_id)
                    self.touch(tenant, agent_id)  # the parent may have been demoted meanwhile
            case AgentPromoted(agent_id=agent_id, at=at) | AgentDemoted(agent_id=agent_id, at=at):
                records.new_tier(agent_id, at)
                for each in (agent_id, *self._children.get((tenant, agent_id), ())):
                    self.touch(tenant, each)
            case AgentResumed(agent_id=agent_id):
                self.touch(tenant, agent_id)
            case ApprovalRequested(approval_id=approval_id, action=action, agent_id=agent_id):
                if action.name == PROMOTE:
                    known = self._promotions.get((tenant, agent_id), ())
                    self._promotions[tenant, agent_id] = (*known, approval_id)
                    self._awaited[tenant, approval_id] = agent_id
            case ApprovalAnswered(approval_id=approval_id):
                if agent := self._awaited.pop((tenant, approval_id), ""):
                    self.touch(tenant, agent)
            case _:
                pass  # nothing in it that a record is made of


REMEMBERED_EVENTS = 1024
_TELLING = frozenset(
    {
        "AgentRegistered", "AgentPromoted", "AgentDemoted", "AgentResumed", "ApprovalRequested", "ApprovalAnswered",
        "PolicySetPublished", "PolicySetRolledBack", "EffectIntended", "RunVerified", "RunEnded", "ErrorRecorded",
    }
)  # fmt: skip
