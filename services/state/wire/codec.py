"""The table of events that state reads and writes."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from google.protobuf.message import Message

from chassis.eventlog.codec import Codec, Unreadable
from chassis.eventlog.headers import is_event
from kernel.events import Recorded
from provost.policy.v1 import events_pb2 as policy_events
from provost.state.v1 import events_pb2
from services.state.domain.attention import AgentStuck, AgentUnstuck, AgentWaits
from services.state.domain.board import EntryPut
from services.state.domain.checkpoints import CheckpointSaved
from services.state.domain.errors import ErrorRecorded
from services.state.domain.inbox import MessagesAcknowledged, MessageSent
from services.state.domain.labels import RunLabelled
from services.state.domain.lock import (
    AgentAdvanced,
    LockAcquired,
    LockForced,
    LockReleased,
    StaleTokenRefused,
)
from services.state.domain.packet import PacketIssued
from services.state.domain.revocation import AgentRevoked
from services.state.domain.sequenced import Sequenced
from services.state.domain.taken import SnapshotTaken
from services.state.domain.task import ArtifactStored, HandoffWritten
from services.state.domain.view import Event

FILTERS = ("evt.*.state.>", "evt.*.policy.agent.*.AgentRevoked")
"""What state follows."""

_RECENT = 512
_REVOKED = ("policy", "agent", "AgentRevoked")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


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
        found = Sequenced(self._event(recorded), recorded.sequence)
        if len(self._recent) >= _RECENT:
            self._recent.clear()
        self._recent[recorded.sequence] = (recorded, found)
        return found

    def _event(self, recorded: Recorded) -> Any:
        try:
            return super().decode(recorded)
        except Unreadable:
            parts = recorded.subject.split(".")
            if (*parts[2:4], *parts[5:]) != _REVOKED or not is_event(recorded):
                raise
            # Whom it is about is said by its subject: a revocation that cannot be read revokes all the same.
            details = f"event {recorded.sequence}, which cannot be read"
            return AgentRevoked(recorded.stream.id, "unreadable", details, "", recorded.time or _EPOCH)


CODEC = SequencedCodec(
    {
        PacketIssued: events_pb2.PacketIssued,
        LockAcquired: events_pb2.LockAcquired,
        AgentAdvanced: events_pb2.AgentAdvanced,
        LockReleased: events_pb2.LockReleased,
        LockForced: events_pb2.LockForced,
        StaleTokenRefused: events_pb2.StaleTokenRefused,
        ErrorRecorded: events_pb2.ErrorRecorded,
        AgentWaits: events_pb2.AgentWaits,
        AgentStuck: events_pb2.AgentStuck,
        AgentUnstuck: events_pb2.AgentUnstuck,
        RunLabelled: events_pb2.RunLabelled,
        EntryPut: events_pb2.EntryPut,
        MessageSent: events_pb2.MessageSent,
        MessagesAcknowledged: events_pb2.MessagesAcknowledged,
        CheckpointSaved: events_pb2.CheckpointSaved,
        ArtifactStored: events_pb2.ArtifactStored,
        HandoffWritten: events_pb2.HandoffWritten,
        SnapshotTaken: events_pb2.SnapshotTaken,
        AgentRevoked: policy_events.AgentRevoked,
    }
)
