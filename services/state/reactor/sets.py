"""What the policy sets in force say to state: which labels there are, and how long an agent may get nowhere.

They are few, and followed from the beginning of the log by a follower of their own: state's snapshots, and what is
rebuilt from the log, know nothing of them.
"""

from collections.abc import Sequence

from chassis.eventlog.codec import Unreadable
from chassis.eventlog.feed import Source
from chassis.eventlog.follower import Follower
from chassis.eventlog.once import Once
from chassis.eventlog.wire import Connection
from chassis.telemetry import get_logger
from kernel.events import Recorded
from services.state.domain.labels import ANY_LABEL, Labelling, SetTold
from services.state.wire.sets import SET_CODEC, SET_FILTERS

_log = get_logger("state.sets")


class HeldSets:
    """Implements `services.state.ports.Sets`, once `follower` has caught up."""

    def __init__(self, log: Connection | Source, stuck_seconds: float) -> None:
        """`stuck_seconds` is for tenants whose set does not say, or that never published one."""
        self._stuck_seconds = stuck_seconds
        self._in_force: dict[str, SetTold] = {}
        self._once = Once(kept=("policy.policyset",))
        self.follower = Follower(log, SET_FILTERS, 0, self._take, "state policy sets")

    def labelling(self, tenant: str) -> Labelling:
        found = self._in_force.get(tenant)
        return ANY_LABEL if found is None else Labelling(found.labels, found.version)

    def patience_seconds(self, tenant: str) -> float:
        found = self._in_force.get(tenant)
        return (found.stuck_seconds if found is not None else 0) or self._stuck_seconds

    async def _take(self, events: Sequence[Recorded]) -> None:
        for recorded in self._once.of(events):
            try:
                found = SET_CODEC.decode(recorded)
            except Unreadable as problem:
                _log.error("policy set not read: no label may be used", problem=problem.text)
                # Policy denies everything under a set that it cannot read.
                found = SetTold(f"of event {recorded.sequence}, which cannot be read,", frozenset(), 0)
            assert isinstance(found, SetTold), "the codec knows no other"
            self._in_force[recorded.stream.tenant] = found
