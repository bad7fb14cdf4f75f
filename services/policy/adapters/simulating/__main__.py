"""The process that decides recorded history anew: `python -m services.policy.adapters.simulating`.

Asked one thing over standard input (JSON); answers over standard output in frames, each a kind (one byte), a length
(four bytes, big-endian) and so many bytes: how far it is, or the one fault that ended it. It is nice to live decisions:
it yields the processor to them.
"""

import json
import os
import sys
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from chassis import process
from chassis.eventlog.connection import connect
from chassis.eventlog.feed import FeedBroken
from chassis.eventlog.source import JetStreamSource
from chassis.eventlog.stream import stream_state
from chassis.eventlog.subject_keys import NatsSubjectKeys
from chassis.eventlog.wire import Connection
from kernel.events import Recorded
from kernel.faults import Fault, Invalid, Unavailable
from services.policy.adapters.policyset_yaml import YamlPolicySets
from services.policy.adapters.rego import RegoRules
from services.policy.adapters.simulating.deciding import Deciding
from services.policy.adapters.simulating.frames import FAULT, PROGRESS, frame
from services.policy.adapters.simulating.history import History, filters
from services.policy.adapters.simulating.opening import opened
from services.policy.domain.flips import Flip, Simulated, Simulation, Tally, Then
from services.policy.handlers.validating import validated
from services.policy.wire import CODEC
from services.policy.wire.simulating import SIMULATED

TELL_SECONDS = 0.25
MOST_TOLD_TOGETHER = 100
TRIES = 5
NICENESS = 10


class Simulating:
    """One simulation, from the beginning of the log to where its end is now."""

    def __init__(self, asked: Simulation, keys: NatsSubjectKeys) -> None:
        self._asked = asked
        self._keys = keys
        self._began = self._told = 0.0
        self._tally = Tally()
        reader = YamlPolicySets()
        self._rules = RegoRules()
        found = validated(reader, self._rules, asked.document)
        if found.policy is None:
            raise found.problems[0].fault()
        self._deciding = Deciding(found.policy, self._rules, self._tally)
        self._history = History(asked, CODEC, reader, self._tally, self._deciding.spending.closed)
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
                    events = [each for each in batch.events if each.sequence <= end]
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
        thens: list[Then] = [then for event in events for then in self._history.take(event)]
        readable = await opened(thens, self._asked.tenant, self._keys, self._tally)
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
            say(PROGRESS, SIMULATED.to_message(said).SerializeToString())


def _parts(flips: list[Flip]) -> Iterator[tuple[Flip, ...]]:
    for at in range(0, len(flips), MOST_TOLD_TOGETHER):
        yield tuple(flips[at : at + MOST_TOLD_TOGETHER])


def say(kind: bytes, body: bytes) -> None:
    sys.stdout.buffer.write(frame(kind, body))
    sys.stdout.buffer.flush()


def asked_of(told: dict[str, Any]) -> Simulation:
    """The question as it came."""
    times = {
        name: datetime.fromisoformat(told[name]) if told[name] else None for name in ("from_time", "to_time")
    }
    return Simulation(**(told | times))


async def main(_stopping: process.Stopping) -> None:
    told = json.loads(sys.stdin.buffer.readline())
    connection: Connection | None = None
    try:
        connection = await connect(told["nats_url"], name="policy-simulation")
        keys = await NatsSubjectKeys(connection, Path(told["sealing_key_file"]), "simulation").start()
        simulating = Simulating(asked_of(told["simulation"]), keys)
        await simulating.run(connection)
        await keys.stop()
    except Fault as fault:
        invalid = isinstance(fault, Invalid)
        said = {"invalid": invalid, "reason": fault.reason, "text": fault.text, "facts": fault.facts}
        say(FAULT, json.dumps(said).encode())
    finally:
        if connection is not None:
            await connection.close()


if __name__ == "__main__":
    os.nice(NICENESS)
    process.run(main)
