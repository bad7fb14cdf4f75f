"""From the event log into the ledger: what arrives while one transaction is written goes into the next one.

Trouble that may pass (no room, no database, another writer) is waited out with the same messages in hand; a story that
does not fit stops everything but reading, until it fits again.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from itertools import islice

from chassis import metrics
from chassis.eventlog.follower import Follower, FollowerState
from chassis.eventlog.headers import raw_headers
from chassis.eventlog.wire import Connection
from chassis.process import jitter, monotonic, now
from chassis.telemetry import get_logger
from kernel.events import Recorded
from kernel.faults import Fault, Refused, Unavailable
from kernel.ports import Deliver
from services.ledger.domain.entry import Message
from services.ledger.domain.faults import LedgerDiverged
from services.ledger.handlers import Ledger

FILTERS = ("evt.>",)
AT_ONCE = 5000
MAX_WAITING = 2 * AT_ONCE
MAX_WAITING_BYTES = 32 * 1024 * 1024
SIGN_EVERY_SECONDS = 1.0
SIGN_IDLE_SECONDS = 5.0
LOOK_EVERY_SECONDS = 0.25
RECONSIDER_SECONDS = 1.0
SCRUB_REST = 9
"""How long the scrubber rests, for the time it took."""
LONGEST_REST_SECONDS = 60.0
REBUILD_FROM_EVENTS = 20_000
"""From this many events on, an empty book is filled as a draft rather than in steps that each survive a crash."""

_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.05, 2.0
_log = get_logger("ledger.reactor")


def follows(connection: Connection) -> Callable[[int, Deliver], Follower]:
    """What makes a follower of the whole log behind a sequence."""
    return lambda after, deliver: Follower(
        connection, FILTERS, after, deliver, "ledger", gather_seconds=0.03, verbatim=True
    )


class Reactor:
    """Keeps the ledger at the end of the log; `follow` makes a follower behind a sequence."""

    def __init__(
        self,
        ledger: Ledger,
        follow: Callable[[int, Deliver], Follower],
        set_serving: Callable[[bool], Awaitable[None]],
        scrub_seconds: float,
    ) -> None:
        self._scrub_seconds = scrub_seconds
        self._ledger = ledger
        self._follow = follow
        self._set_serving = set_serving
        self._waiting: deque[Message] = deque()
        self._waiting_bytes = 0
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._keeping = True
        self._caught_up = False

    async def run(self) -> None:
        """Work until cancelled. A ledger that has diverged stands still, to be read why, until all fits again."""
        metrics.show(
            "provost_ledger_diverged",
            "1 while the ledger refuses to go on.",
            lambda: float(self._ledger.diverged is not None),
        )
        while True:
            fault = await self._work()
            await self._stand_still(fault)
            _log.warning("ledger goes on", after=self._ledger.position.last)

    async def _work(self) -> Fault:
        """Answers why it cannot go on."""
        self._waiting.clear()
        self._waiting_bytes, self._caught_up = 0, False
        found: list[Fault] = []
        try:
            await self._begin()
            follower = self._follow(self._ledger.position.last, self.deliver)
            await follower.start()
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._keep())
                    tasks.create_task(self._sign())
                    tasks.create_task(self._watch(follower))
                    tasks.create_task(self._ledger.witnessing.run())
                    tasks.create_task(self._scrub())
            finally:
                await follower.stop()
        except* Refused as faults:
            found.append(_first(faults))
        return found[0]

    async def _stand_still(self, fault: Fault) -> None:
        """Until it fits again: because the log was repaired or restored, or the database rebuilt or moved away."""
        self._ledger.diverge(fault)
        await self._set_serving(False)
        fault = await self._ledger.locate(fault)
        self._ledger.diverge(fault)
        _log.critical("ledger stopped", reason=fault.reason, why=fault.text, **fault.facts)
        fenced = fault.reason != "STREAM_REGRESSION"
        while True:
            try:
                if not fenced:
                    # Whoever wrote now would write where lost events were.
                    await self._ledger.fence(f"{fault.reason}: {fault.text}")
                    fenced = True
                    _log.critical("event log fenced: nothing can be appended", why=fault.text)
                await asyncio.sleep(RECONSIDER_SECONDS)
                await self._ledger.begin()
                break
            except (Refused, Unavailable):
                continue
            except Exception as problem:  # noqa: BLE001 - it stands still as it is, and looks again
                _log.error("ledger cannot be looked at", why=repr(problem))

    async def _scrub(self) -> None:
        """A pass over everything takes `scrub_seconds` if that is long enough, and a tenth of the time at most."""
        scrubber = self._ledger.scrubber
        metrics.show(
            "provost_ledger_scrub_sequence", "The next one it looks at.", lambda: scrubber.scrubbed.next
        )
        metrics.show("provost_ledger_scrub_passes", "Over the whole book.", lambda: scrubber.scrubbed.passes)
        while self._scrub_seconds:
            begun = monotonic()
            try:
                await scrubber.step(now())
            except Refused:
                raise
            except Exception as problem:  # noqa: BLE001 - the same slice comes again
                _log.warning("scrubber cannot look", why=repr(problem))
            share = self._scrub_seconds / max(1, scrubber.slices)
            rest = min(share, LONGEST_REST_SECONDS) * (1 - jitter(0.1))
            await asyncio.sleep(max(rest, SCRUB_REST * (monotonic() - begun)))

    async def deliver(self, events: Sequence[Recorded]) -> None:
        """What the follower hands over: kept soon, in order; returns when there is room for more."""
        for event in events:
            message = Message(event.sequence, event.subject, raw_headers(event), event.payload)
            self._waiting.append(message)
            self._waiting_bytes += _size(message)
        self._arrived.set()
        while len(self._waiting) > MAX_WAITING or self._waiting_bytes > MAX_WAITING_BYTES:
            self._room.clear()
            await self._room.wait()

    async def _begin(self) -> None:
        pause = _PAUSE_SECONDS
        while True:
            try:
                position = await self._ledger.begin()
                if not position.size and await self._ledger.backlog() >= REBUILD_FROM_EVENTS:
                    await self._fill()
                return
            except Unavailable as problem:
                _log.warning("ledger cannot begin yet", why=problem.text)
                pause = await _wait(pause)

    async def _fill(self) -> None:
        async with aclosing(self._ledger.rebuild()) as built:
            async for progress in built:
                _log.info("ledger is filled", events=progress.events, of=progress.target)
                if progress.done and not progress.swapped:
                    raise LedgerDiverged(progress.detail)

    async def _keep(self) -> None:
        pause = _PAUSE_SECONDS
        while True:
            while not self._waiting:
                self._arrived.clear()
                await self._arrived.wait()
            messages = list(islice(self._waiting, AT_ONCE))
            try:
                await self._ledger.take(messages)
            except Refused:
                raise
            except Exception as problem:  # noqa: BLE001 - nothing may be skipped, so nothing but trying again is left
                self._keeping = False
                why = problem.text if isinstance(problem, Fault) else repr(problem)
                _log.error(
                    "events not kept yet", first=messages[0].sequence, last=messages[-1].sequence, why=why
                )
                pause = await _wait(pause)
                continue
            pause, self._keeping = _PAUSE_SECONDS, True
            for message in messages:
                self._waiting.popleft()
                self._waiting_bytes -= _size(message)
            self._room.set()

    async def _sign(self) -> None:
        signed = 0
        while True:
            # While nothing grows, keys may be changed: the last head then bears other signatures.
            with suppress(TimeoutError):
                async with asyncio.timeout(SIGN_IDLE_SECONDS):
                    await self._ledger.grown(signed)
            position = self._ledger.position
            try:
                await self._ledger.sign(now())
                signed = position.last
            except Refused:
                raise
            except Exception as problem:  # noqa: BLE001 - the next second brings another try
                _log.error("tree head not signed", why=str(problem))
            await asyncio.sleep(SIGN_EVERY_SECONDS)

    async def _watch(self, follower: Follower) -> None:
        while True:
            if follower.state is FollowerState.HALTED:
                await self._explain(follower.halt_reason)
            behind = max(0, follower.position - self._ledger.position.last)
            self._caught_up = self._caught_up or (
                follower.lag == 0 and follower.stale_seconds < 1 and not behind
            )
            await self._set_serving(self._caught_up and self._keeping and follower.well)
            await asyncio.sleep(LOOK_EVERY_SECONDS)

    async def _explain(self, halt_reason: str) -> None:
        """Raise the fault that names where the log and the ledger part."""
        pause = _PAUSE_SECONDS
        await self._set_serving(False)
        while True:
            try:
                await self._ledger.compare_with_log()
                raise LedgerDiverged(f"the follower of the event log has halted: {halt_reason}")
            except Unavailable as problem:
                _log.warning("event log does not answer", why=problem.text)
                pause = await _wait(pause)


def _first(faults: BaseExceptionGroup[Refused]) -> Refused:
    first = faults.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


def _size(message: Message) -> int:
    return len(message.header) + len(message.payload)


async def _wait(pause: float) -> float:
    """Wait about `pause` seconds; the next pause."""
    await asyncio.sleep(pause / 2 + jitter(pause / 2))
    return min(_LONGEST_PAUSE_SECONDS, pause * 2)
