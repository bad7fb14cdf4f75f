"""From the event log to the conductor: own runs, revocations, suspensions, demotions, answered approvals."""

from collections.abc import Sequence
from typing import Protocol

import structlog
from google.protobuf.message import DecodeError

from chassis.eventlog.aggregates import HeldAggregates
from chassis.eventlog.headers import is_event
from kernel.events import Recorded
from provost.policy.v1 import events_pb2 as policy_events
from services.orchestrator.domain.facts import Event
from services.orchestrator.domain.run import RUN, Run
from services.orchestrator.domain.wants import Command
from services.orchestrator.handlers import Conductor

REVOKED = "evt.*.policy.agent.*.AgentRevoked"
SUSPENDED, RESUMED = "evt.*.policy.agent.*.AgentSuspended", "evt.*.policy.agent.*.AgentResumed"
DEMOTED = "evt.*.policy.agent.*.AgentDemoted"
ANSWERED = "evt.*.policy.approval.*.ApprovalAnswered"

_RUNS = [RUN.context, RUN.aggregate]

log = structlog.get_logger(__name__)


class Fed(Protocol):
    """Is told what was recorded."""

    async def take(self, events: Sequence[Recorded]) -> None: ...


class Reactor:
    """What the orchestrator's follower delivers to."""

    def __init__(self, runs: HeldAggregates[Command, Run, Event], conductor: Conductor) -> None:
        self._also: tuple[Fed, ...] = ()
        self._runs = runs
        self._conductor = conductor
        self.filters = (*runs.filters, REVOKED, SUSPENDED, RESUMED, DEMOTED, ANSWERED)

    def also(self, fed: Fed) -> None:
        """Tell `fed`, too, when everything here has been."""
        self._also += (fed,)

    async def take(self, events: Sequence[Recorded]) -> None:
        """Runs first, so that a revocation meets them as they were when it came."""
        await self._runs.take(events)
        for recorded in filter(is_event, events):
            try:
                self._heed(recorded)
            except DecodeError:
                log.error("event cannot be read", subject=recorded.subject, sequence=recorded.sequence)
        for fed in self._also:
            await fed.take(events)

    def _heed(self, recorded: Recorded) -> None:
        tenant = recorded.stream.tenant
        if recorded.subject.split(".")[2:4] == _RUNS:
            self._conductor.noted(tenant, recorded.stream.id)
        if recorded.subject.endswith(".RunStarted"):
            self._conductor.begun(tenant, recorded.stream.id)
        elif recorded.subject.endswith(".AgentRevoked"):
            # Whom this and the next are about is said by their subjects: one that cannot be read holds all the same.
            self._conductor.agent_revoked(tenant, recorded.stream.id, *_why(recorded))
        elif recorded.subject.endswith((".AgentSuspended", ".AgentResumed")):
            suspended = recorded.subject.endswith(".AgentSuspended")
            self._conductor.agent_suspended(tenant, recorded.stream.id, suspended)
        elif recorded.subject.endswith(".AgentDemoted"):
            self._conductor.agent_weakened(tenant, recorded.stream.id)
        elif recorded.subject.endswith(".ApprovalAnswered"):
            answered = policy_events.ApprovalAnswered.FromString(recorded.payload)
            self._conductor.answered(tenant, answered.run_id, answered.approval_id)


def _why(recorded: Recorded) -> tuple[str, str]:
    """Kind and details of a revocation."""
    try:
        revoked = policy_events.AgentRevoked.FromString(recorded.payload)
    except DecodeError:
        return "unreadable", f"event {recorded.sequence}, which cannot be read"
    return revoked.kind, revoked.details
