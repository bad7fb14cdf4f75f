"""For who folds events without holding their aggregates: copies of earlier ones and what is none are passed over."""

from collections import OrderedDict
from collections.abc import Iterable

import structlog

from chassis.eventlog.headers import is_event, repeats
from kernel.events import Recorded

MOST_AGGREGATES = 10_000
_log = structlog.get_logger("chassis.eventlog")


class Once:
    """Remembers where the newest event of each aggregate stands: of kinds named in `kept` for good, of others lately.

    A kind is context and aggregate, as `state.agent`. The same log gives the same, wherever batches end in it.
    """

    def __init__(self, kept: Iterable[str] = (), most: int = MOST_AGGREGATES) -> None:
        self._kinds = frozenset(kept)
        self._most = most
        self._kept: dict[str, int] = {}
        self._lately: OrderedDict[str, int] = OrderedDict()

    def of(self, events: Iterable[Recorded]) -> list[Recorded]:
        """Those that are events, and no copies; one that is delivered again is none."""
        return [each for each in events if self._counts(each)]

    def _counts(self, recorded: Recorded) -> bool:
        if not is_event(recorded):
            _log.warning("a message that is no event is passed over", sequence=recorded.sequence)
            return False
        place = recorded.subject.rpartition(".")[0]
        lasting = ".".join(place.split(".")[2:4]) in self._kinds
        known = self._kept if lasting else self._lately
        newest = known.get(place, 0)
        if recorded.sequence <= newest:
            return True
        if repeats(recorded, newest):
            _log.warning("a copy of an event counts once", sequence=recorded.sequence, place=place)
            return False
        known[place] = recorded.sequence
        if not lasting:
            self._lately.move_to_end(place)
            if len(self._lately) > self._most:
                self._lately.popitem(last=False)
        return True
