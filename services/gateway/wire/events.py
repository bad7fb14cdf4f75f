"""What the gateway announces."""

from chassis.eventlog.codec import Codec
from provost.gateway.v1 import events_pb2
from services.gateway.domain.refusals import AccessRefused

CODEC = Codec({AccessRefused: events_pb2.AccessRefused})
