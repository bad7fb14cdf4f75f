"""A service's signing key, made known once: whoever has the log can say whose a statement is."""

from dataclasses import dataclass
from datetime import datetime

from chassis.eventlog.codec import Codec, Unreadable
from chassis.eventlog.jetstream import JetStreamLog
from chassis.eventlog.wire import Connection
from chassis.signing import PublicKey, SigningKey, public_key_of
from kernel.events import Cause, Head, Recorded, Stream, derived_id
from kernel.ports import EventLog
from provost.event.v1 import keys_pb2

ANNOUNCED = "evt.*.*.signingkey.*.SigningKeyAnnounced"
TENANT = "default"


@dataclass(frozen=True, slots=True)
class SigningKeyAnnounced:
    service: str
    key_id: str
    public_key: bytes
    at: datetime


CODEC = Codec({SigningKeyAnnounced: keys_pb2.SigningKeyAnnounced})


async def announce(log: EventLog, service: str, key: SigningKey, at: datetime) -> None:
    """Have the log know `key`. Safe to repeat: an announcement that is there already is left as it is.

    Raises:
        Fault: what the log raised.
    """
    event = SigningKeyAnnounced(service, key.kid, key.public_bytes(), at)
    # Always the same id behind always the same place: the log itself says whether it has it.
    cause = Cause(TENANT, derived_id("signingkey", service, key.kid), f"service:{service}", at)
    await log.append(Stream(TENANT, service, "signingkey", key.kid), (event,), after=Head(), cause=cause)


def log_of(connection: Connection, service: str) -> EventLog:
    """The log as announcements are written to it."""
    return JetStreamLog(connection, CODEC, source=f"provost/{service}")


def announced(recorded: Recorded) -> tuple[tuple[str, str], PublicKey] | None:
    """Service and id of the key an event announces, and the key; None when it announces none that can be used."""
    stream = recorded.stream
    if (
        recorded.event_type != "SigningKeyAnnounced"
        or stream.aggregate != "signingkey"
        or stream.tenant != TENANT
    ):
        return None
    try:
        event = CODEC.decode(recorded)
        assert isinstance(event, SigningKeyAnnounced)
        key = public_key_of(event.public_key)
    except (Unreadable, ValueError):
        return None
    # Only the service itself can publish in its context, and a key is named by what it is.
    if (event.service, event.key_id) != (stream.context, stream.id) or key.thumbprint() != event.key_id:
        return None
    return (event.service, event.key_id), key
