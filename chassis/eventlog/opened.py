"""What a service stands on when it seals or tells what is sealed: the log, its stream, and the keys of subjects."""

from chassis.config import ServiceSettings
from chassis.eventlog.connection import connect
from chassis.eventlog.stream import ensure_stream
from chassis.eventlog.subject_keys import NatsSubjectKeys
from chassis.eventlog.wire import Connection


async def opened(settings: ServiceSettings, name: str) -> tuple[Connection, NatsSubjectKeys]:
    """A connection to the log, which is there; and the keys, which are still to be started.

    Raises:
        Unavailable, Exhausted, Refused: what `connect` and `ensure_stream` raise.
    """
    connection = await connect(settings.nats_url, name=name)
    await ensure_stream(connection)
    return connection, NatsSubjectKeys(connection, settings.sealing_key_file, name)
