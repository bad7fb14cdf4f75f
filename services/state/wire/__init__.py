"""Between state's records and its messages; the table of events that it reads and writes."""

from services.state.wire.codec import CODEC, FILTERS, SequencedCodec
from services.state.wire.records import (
    AGENT,
    ARTIFACT,
    ERRORS,
    HANDOFF,
    IN_USE,
    LOCK,
    PACKET,
    REVOCATION,
    STUCK,
    WRITTEN,
    handoff_from_wire,
    packet_from_wire,
    waiting_from_wire,
)

__all__ = [
    "AGENT",
    "ARTIFACT",
    "CODEC",
    "ERRORS",
    "FILTERS",
    "HANDOFF",
    "IN_USE",
    "LOCK",
    "PACKET",
    "REVOCATION",
    "STUCK",
    "WRITTEN",
    "SequencedCodec",
    "handoff_from_wire",
    "packet_from_wire",
    "waiting_from_wire",
]
