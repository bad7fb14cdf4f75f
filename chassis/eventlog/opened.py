"""What a service stands on when it seals or tells what is sealed: the log, its stream, and the keys of subjects."""

from chassis.config import ServiceSettings
from chassis.eventlog.connection import connect
from chassis.eventlog.stream import UNLIMITED, ensure_stream
from chassis.eventlog.subject_keys import NatsSubjectKeys
from chassis.eventlog.wire import Connection
from chassis.tls import certificates
from chassis.tls.contexts import client_context

_RESIZES = "ledger"
"""Whose NATS user may change the stream, where each service has its own (`deploy/nats/users.conf`)."""


async def connected(settings: ServiceSettings, name: str) -> Connection:
    """A connection of service `name` to the log, which is there; it shows the service's certificate, if it has one.

    Raises:
        Unavailable, Exhausted, Refused: what `connect` and `ensure_stream` raise.
        CertificateTrouble: there is no certificate to show.
    """
    connection = await connect(
        settings.nats_url,
        name=name,
        tls=client_context(certificates.of(settings, name)),
        inbox_prefix=f"_INBOX.{name}",
    )
    await ensure_stream(
        connection,
        replicas=settings.nats_replicas or None,
        max_bytes=settings.log_max_bytes or UNLIMITED,
        resize=name == _RESIZES,
    )
    return connection


async def opened(settings: ServiceSettings, name: str) -> tuple[Connection, NatsSubjectKeys]:
    """A connection to the log, which is there; and the keys, which are still to be started.

    Raises:
        Unavailable, Exhausted, Refused, CertificateTrouble: what `connected` raises.
    """
    connection = await connected(settings, name)
    return connection, NatsSubjectKeys(connection, settings.sealing_key_file, name)
