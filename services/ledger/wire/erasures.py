"""Erasures on the wire."""

from chassis.eventlog.codec import Codec
from provost.ledger.v1 import events_pb2
from provost.ledger.v1 import ledger_pb2 as pb
from services.ledger.domain.erasure import SubjectErased

EVENTS = Codec({SubjectErased: events_pb2.SubjectErased})


def erasure_to_wire(sequence: int, event: SubjectErased) -> pb.Erasure:
    shown = pb.Erasure(
        sequence=sequence,
        subject_id=event.subject_id,
        key_id=event.key_id,
        reason=event.reason,
        by=event.by,
    )
    shown.at.FromDatetime(event.at)
    return shown
