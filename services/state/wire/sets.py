"""What state reads of policy sets: their events alone, never their documents."""

from chassis.eventlog.codec import Codec
from provost.policy.v1 import events_pb2
from services.state.domain.labels import SetTold

SET_FILTERS = (
    "evt.*.policy.policyset.current.PolicySetPublished",
    "evt.*.policy.policyset.current.PolicySetRolledBack",
)


def _published(event: events_pb2.PolicySetPublished) -> SetTold:
    return SetTold(event.version, _labels(event), event.stuck_seconds)


def _rolled_back(event: events_pb2.PolicySetRolledBack) -> SetTold:
    return SetTold(event.to_version, _labels(event), event.stuck_seconds)


def _labels(event: events_pb2.PolicySetPublished | events_pb2.PolicySetRolledBack) -> frozenset[str] | None:
    return frozenset(event.labels.names) if event.HasField("labels") else None


SET_CODEC = Codec(
    {}, {events_pb2.PolicySetPublished: _published, events_pb2.PolicySetRolledBack: _rolled_back}
)
