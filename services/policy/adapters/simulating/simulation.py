"""One simulation: reads the log to where its end is now, decides again what is recorded, tells what flips."""

from collections.abc import Iterable, Iterator

from chassis import process
from chassis.eventlog.feed import FeedBroken
from chassis.eventlog.headers import believed
from chassis.eventlog.source import JetStreamSource
from chassis.eventlog.stream import stream_state
from chassis.eventlog.subject_keys import NatsSubjectKeys
from chassis.eventlog.wire import Connection
from kernel.events import Recorded
from kernel.faults import Unavailable
from services.policy.adapters.policyset_yaml import YamlPolicySets
from services.policy.adapters.rego.rules import RegoRules
from services.policy.adapters.simulating.deciding import Deciding
from services.policy.adapters.simulating.frames import PROGRESS, Say
from services.policy.adapters.simulating.history import History, filters
from services.policy.adapters.simulating.opening import opened
from services.policy.domain.flips import Flip, FlipCounts, Simulated, Simulation
from services.policy.handlers.validating import validated
from services.policy.wire import CODEC
from services.policy.wire.simulating import SIMULATED

TELL_SECONDS = 0.25
MOST_TOLD_TOGETHER = 100
TRIES = 5


class Simulating:
    """One simulation, from the beginning of the log to where its end is now."""

    def __init__(self, asked: Simulation, keys: NatsSubjectKeys, say: Say) -> None:
        self._asked = asked
        self._keys = keys
        self._say = say
        self._began = self._told = 0.0
        self._tally = FlipCounts()
        reader = YamlPolicySets()
        self._rules = RegoRules()
        found = validated(reader, self._rules, asked.document)
        if found.policy is None:
            raise found.fault()
        self._deciding = Deciding(found.policy, self._rules, self._tally)
        self._history = History(asked, CODEC, reader, self._tally, others=self._deciding.spending.shared)
        self._untold: list[Flip] = []
        self._left_to_tell = asked.max_flips
        self._position = 0

    async def run(self, connection: Connection) -> None:
        """Read, decide, tell.

        Raises:
            Fault: it cannot go on.
        """
        self._began = self._told = process.monotonic()
        end = (await stream_state(connection)).last
        last: Recorded | None = None
        tries = 0
        while self._position < end:
            feed = await JetStreamSource(connection).open(filters(self._asked.tenant), self._position, last)
            try:
                while self._position < end:
                    batch = await feed.next()
                    tries = 0
                    events = [believed(each) for each in batch.events if each.sequence <= end]
                    await self._take(events)
                    last = events[-1] if events else last
                    self._position = min(end, max(self._position, batch.upto))
                    if batch.at_end is not None:
                        self._position = end  # nothing that is looked for lies between here and there
            except FeedBroken:
                tries += 1
                if tries >= TRIES:
                    raise Unavailable(
                        "LOG_UNREACHABLE", "the event log cannot be read to its end; try again"
                    ) from None
            finally:
                await feed.close()
        self._tell(done=True)
        self._rules.end()

    async def _take(self, events: Iterable[Recorded]) -> None:
        happened = [each for event in events for each in self._history.take(event)]
        readable = await opened(happened, self._asked.tenant, self._keys, self._tally)
        flips = self._deciding.flips(readable)
        self._untold += flips[: self._left_to_tell]
        self._left_to_tell -= min(len(flips), self._left_to_tell)
        if len(self._untold) >= MOST_TOLD_TOGETHER or process.monotonic() - self._told > TELL_SECONDS:
            self._tell()

    def _tell(self, *, done: bool = False) -> None:
        self._told = process.monotonic()
        totals = self._tally.totals(self._position, self._told - self._began)
        parts = list(_parts(self._untold)) or [()]
        self._untold = []
        for n, part in enumerate(parts):
            said = Simulated(part, totals, done and n == len(parts) - 1)
            self._say(PROGRESS, SIMULATED.to_message(said).SerializeToString())


def _parts(flips: list[Flip]) -> Iterator[tuple[Flip, ...]]:
    for at in range(0, len(flips), MOST_TOLD_TOGETHER):
        yield tuple(flips[at : at + MOST_TOLD_TOGETHER])
