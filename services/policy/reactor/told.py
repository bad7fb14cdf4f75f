"""What others announce and decisions rest on: packets, the labels of runs, errors."""

from collections.abc import Sequence
from datetime import UTC, datetime

from chassis.eventlog.codec import Codec, Unreadable
from chassis.telemetry import get_logger
from kernel.events import Recorded
from services.policy.domain.action import Packet
from services.policy.domain.labels import RunLabelled
from services.policy.domain.outcomes import ErrorNoted
from services.policy.domain.recorded_errors import ErrorCounts
from services.policy.domain.reservation import BudgetScope

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NO_RUNS: dict[str, tuple[str, ...]] = {}
_log = get_logger("policy.reactor")


class HeldPackets:
    """Implements `Packets`: the newest one of each agent."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._packets: dict[tuple[str, str], Packet] = {}

    def current(self, tenant: str, agent_id: str) -> Packet | None:
        return self._packets.get((tenant, agent_id))

    async def take(self, events: Sequence[Recorded]) -> None:
        """An unreadable packet leaves its agent without one, so that nothing is allowed that it might forbid."""
        for recorded in events:
            if recorded.event_type != "PacketIssued":
                continue
            stream = recorded.stream
            try:
                packet = self._codec.decode(recorded)
            except Unreadable as problem:
                _log.error("packet not read", problem=problem.text)
                self._packets.pop((stream.tenant, stream.id), None)
                continue
            assert isinstance(packet, Packet)
            self._packets[stream.tenant, stream.id] = packet


class HeldLabels:
    """Implements `Labels`. Kept for good: an agent may come back with a run that has ended."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._runs: dict[tuple[str, str], dict[str, tuple[str, ...]] | None] = {}

    def current(self, tenant: str, agent_id: str, run_id: str | None) -> tuple[str, ...] | None:
        runs = self._runs.get((tenant, agent_id), _NO_RUNS)
        if runs is None:
            return None
        if run_id is not None or not runs:
            return runs.get(run_id or "", ())
        return tuple(sorted({label for labels in runs.values() for label in labels}))

    async def take(self, events: Sequence[Recorded]) -> None:
        """What cannot be read may be any label of any run: then nothing is known of this agent's."""
        for recorded in events:
            if recorded.event_type != "RunLabelled":
                continue
            stream = recorded.stream
            key = stream.tenant, stream.id
            runs = self._runs.setdefault(key, {})
            try:
                labelled = self._codec.decode(recorded)
            except Unreadable as problem:
                _log.error("labels not read", problem=problem.text)
                self._runs[key] = runs = None
            if runs is not None:
                assert isinstance(labelled, RunLabelled)
                stuck = {*runs.get(labelled.run_id, ()), *labelled.labels}
                runs[labelled.run_id] = tuple(sorted(stuck))


class HeldErrors:
    """Implements `RecordedErrors`."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._counts: dict[str, ErrorCounts] = {}

    def count(self, tenant: str, scope: BudgetScope, scope_id: str, since_seconds: int) -> int:
        counts = self._counts.get(tenant)
        return 0 if counts is None else counts.count(scope, scope_id, since_seconds)

    async def take(self, events: Sequence[Recorded]) -> None:
        """One that cannot be read counts for nobody but its agent, as of 1970 and so in no window."""
        for recorded in events:
            if recorded.event_type != "ErrorRecorded":
                continue
            stream = recorded.stream
            try:
                noted = self._codec.decode(recorded)
            except Unreadable as problem:
                _log.error("error not read", problem=problem.text)
                noted = ErrorNoted(stream.id, "", "", False, _EPOCH)
            assert isinstance(noted, ErrorNoted)
            self._counts.setdefault(stream.tenant, ErrorCounts()).add(noted)
