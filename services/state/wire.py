"""Between state's records and its messages; the table of events that it reads and writes."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from google.protobuf.message import Message

from chassis.eventlog.codec import Codec
from chassis.mapping import Mapper
from kernel.events import Recorded
from provost.policy.v1 import events_pb2 as policy_events
from provost.state.v1 import events_pb2, state_pb2
from services.state.domain.agent import ErrorRecorded, PacketIssued
from services.state.domain.errors import ErrorCounts
from services.state.domain.lock import AgentAdvanced, LockAcquired, LockReleased, StaleTokenRefused
from services.state.domain.packet import ErrorBudget, Packet
from services.state.domain.revocation import AgentRevoked
from services.state.domain.sequenced import Sequenced
from services.state.domain.snapshot import AgentSnapshot, HeldLock
from services.state.domain.task import Artifact, ArtifactStored, Handoff, HandoffWritten
from services.state.domain.view import Event

FILTERS = ("evt.*.state.>", "evt.*.policy.agent.*.AgentRevoked")
"""What state follows."""

_BUDGET = ErrorBudget()
_RECENT = 512


class SequencedCodec(Codec):
    """Reads every event together with where it stands.

    The aggregates and the view read the same batch one after the other, so what was read last is kept for a moment.
    """

    def __init__(self, events: Mapping[type, type[Message]]) -> None:
        super().__init__(events)
        self._recent: dict[int, tuple[Recorded, Sequenced[Event]]] = {}

    def decode(self, recorded: Recorded) -> Sequenced[Event]:
        """Raises Unreadable."""
        known = self._recent.get(recorded.sequence)
        if known is not None and known[0] is recorded:
            return known[1]
        event: Any = super().decode(recorded)
        found = Sequenced(event, recorded.sequence)
        if len(self._recent) >= _RECENT:
            self._recent.clear()
        self._recent[recorded.sequence] = (recorded, found)
        return found


CODEC = SequencedCodec(
    {
        PacketIssued: events_pb2.PacketIssued,
        LockAcquired: events_pb2.LockAcquired,
        AgentAdvanced: events_pb2.AgentAdvanced,
        LockReleased: events_pb2.LockReleased,
        StaleTokenRefused: events_pb2.StaleTokenRefused,
        ErrorRecorded: events_pb2.ErrorRecorded,
        ArtifactStored: events_pb2.ArtifactStored,
        HandoffWritten: events_pb2.HandoffWritten,
        AgentRevoked: policy_events.AgentRevoked,
    }
)

PACKET = Mapper(Packet, state_pb2.Packet)
ERRORS = Mapper(ErrorCounts, state_pb2.ErrorCounts)
LOCK = Mapper(HeldLock, state_pb2.Lock)
AGENT = Mapper(AgentSnapshot, state_pb2.AgentSnapshot)
ARTIFACT = Mapper(Artifact, state_pb2.Artifact)
HANDOFF = Mapper(Handoff, state_pb2.Handoff)
WRITTEN = Mapper(HandoffWritten, state_pb2.GetHandoffResponse)
REVOCATION = Mapper(AgentRevoked, state_pb2.Revocation)


def packet_from_wire(message: state_pb2.Packet, at: datetime) -> Packet:
    """The packet with its gaps filled: no constraints, the usual error budget, created `at` this moment.

    Raises:
        Invalid: a field that does not fit.
    """
    whole = state_pb2.Packet()
    whole.CopyFrom(message)
    whole.constraints.SetInParent()
    budget = whole.error_budget
    budget.max_total_errors = budget.max_total_errors or _BUDGET.max_total_errors
    budget.max_same_error_repeats = budget.max_same_error_repeats or _BUDGET.max_same_error_repeats
    budget.max_procedure_violations = budget.max_procedure_violations or _BUDGET.max_procedure_violations
    if not whole.HasField("created_at"):
        whole.created_at.FromDatetime(at)
    return PACKET.to_record(whole)


def handoff_from_wire(message: state_pb2.Handoff) -> Handoff:
    """The handoff; what it does not say is empty. Raises Invalid."""
    whole = state_pb2.Handoff()
    whole.CopyFrom(message)
    whole.revocation_reason.SetInParent()
    whole.last_known_state.SetInParent()
    return HANDOFF.to_record(whole)
