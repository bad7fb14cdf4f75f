"""Snapshots as the log names them: an aggregate of its own, that nothing else writes."""

from collections.abc import Sequence

from chassis.eventlog.codec import Codec
from chassis.eventlog.stream import read_at, read_last
from chassis.eventlog.wire import Connection
from kernel.events import Cause, Head, Stream
from kernel.faults import AppendConflict
from kernel.ports import EventLog
from services.state.domain.sequenced import placed
from services.state.domain.taken import SnapshotTaken

_STREAM = Stream("default", "state", "snapshot", "state")


class NamedSnapshots:
    """Implements `services.state.ports.Naming`."""

    def __init__(self, connection: Connection, log: EventLog, codec: Codec) -> None:
        self._connection = connection
        self._log = log
        self._codec = codec

    async def newest(self, count: int) -> Sequence[SnapshotTaken]:
        found: list[SnapshotTaken] = []
        recorded = await read_last(self._connection, _STREAM.filter)
        while recorded is not None and len(found) < count:
            event, _ = placed(self._codec.decode(recorded))
            if isinstance(event, SnapshotTaken):
                found.append(event)
            before = int(recorded.headers.get("ce-prevseq", "0"))
            recorded = await read_at(self._connection, before) if before else None
        return found

    async def name(self, taken: SnapshotTaken, request_id: str) -> bool:
        last = await read_last(self._connection, _STREAM.filter)
        if last is not None and "ce-aggver" not in last.headers:
            return False  # no event of ours: nobody knows what it stands behind, and a snapshot can be done without
        head = Head(last.sequence, int(last.headers["ce-aggver"]), last.event_id) if last else Head()
        try:
            await self._log.append(
                _STREAM,
                (taken,),
                after=head,
                cause=Cause(_STREAM.tenant, request_id, "service:state", taken.at),
            )
        except AppendConflict:
            return False
        return True
