"""The one follower: hands events to a callback, in order, without a gap, and says where it stands.

It never skips. What cannot be delivered is tried again, and then it halts; so it does when the log is no
longer what was read before, and goes on only when the log holds all of that again, because somebody has repaired it.
A halted follower refuses whoever waits for it, and its service is unhealthy.
"""

import asyncio
from collections.abc import Callable, Sequence
from enum import StrEnum

import structlog

from chassis import metrics
from chassis.eventlog.feed import Feed, FeedBroken, LogDiverged, Source
from chassis.eventlog.headers import believed
from chassis.eventlog.source import JetStreamSource
from chassis.eventlog.wire import Connection, NotConnected
from chassis.process import jitter, monotonic
from kernel.events import Recorded
from kernel.faults import Unavailable
from kernel.ports import Deliver

_log = structlog.get_logger("chassis.eventlog")
TRIES = 5
_PROBE_AFTER_SECONDS = 0.005
_LONGEST_PAUSE_SECONDS = 1.0
_LOOK_AGAIN_SECONDS = 1.0
UNWELL_SECONDS = 5.0
"""Who was last at the end of the log so long ago should be asked nothing: another replica may know what is true now."""


class FollowerState(StrEnum):
    """What a follower is doing."""

    OPENING = "OPENING"
    FOLLOWING = "FOLLOWING"
    HALTED = "HALTED"
    STOPPED = "STOPPED"


class Follower:
    """Follows what matches any of `filters` behind sequence `after`; implements `kernel.ports.Following`.

    `deliver` is awaited with at most 500 events at a time; the next ones come when it has returned. Under load they may
    be held back for up to `gather_seconds` unless somebody waits for one: the more come at once, the less they cost.
    What the server republished from another stream comes without what it says, unless all is wanted `verbatim`.
    """

    def __init__(
        self,
        log: Connection | Source,
        filters: Sequence[str],
        after: int,
        deliver: Deliver,
        name: str,
        *,
        gather_seconds: float = 0.0,
        verbatim: bool = False,
    ) -> None:
        self._source: Source = JetStreamSource(log) if isinstance(log, Connection) else log
        self._filters = tuple(filters)
        self._deliver = deliver
        self._name = name
        self._gather_seconds = gather_seconds
        self._verbatim = verbatim
        self._position = after
        self._last: Recorded | None = None
        self._at_end: float | None = None
        self._since = monotonic()
        self._lag = 0
        self._feed: Feed | None = None
        self._task: asyncio.Task[None] | None = None
        self._probing: asyncio.Task[None] | None = None
        self._moved = asyncio.Event()
        self.state = FollowerState.OPENING
        self.halt_reason = ""
        """`STREAM_REGRESSION`, `GAP`, `DELIVERY_FAILED` or `FOLLOWER_FAILED`, once it has halted."""

    async def start(self) -> None:
        """Begin to follow, in a task of its own; after `stop`, from where it was."""
        self.state, self.halt_reason = FollowerState.OPENING, ""
        metrics.follow(self._name, self)
        self._task = asyncio.create_task(self._run(), name=f"follower {self._name}")

    async def stop(self) -> None:
        """End; the batch that is being delivered is cut short unless it is done."""
        for task in (self._task, self._probing):
            if task is not None:
                task.cancel()
                await asyncio.wait({task})
        if self.state is not FollowerState.HALTED:
            self.state = FollowerState.STOPPED
        metrics.forget(self._name)
        self._move()

    @property
    def position(self) -> int:
        return self._position

    @property
    def lag(self) -> int:
        """How many matching events it had still to read, when it last knew."""
        return self._lag

    @property
    def stale_seconds(self) -> float:
        return monotonic() - (self._since if self._at_end is None else self._at_end)

    @property
    def well(self) -> bool:
        """Whether a service that rests on it may say that it serves: it has not halted, and was at the end lately."""
        return self.state is not FollowerState.HALTED and self.stale_seconds <= UNWELL_SECONDS

    async def caught_up(self, timeout_seconds: float = 60.0) -> None:
        """Wait until it has been at the end of the log once, as long as that takes while it gets on.

        Raises:
            Unavailable: it has got no further in so long (`FOLLOWER_BEHIND`), or it halted (`FOLLOWER_HALTED`).
        """
        while True:
            before = self._position
            try:
                return await self._until(
                    lambda: self._at_end is not None, "the end of the log", timeout_seconds
                )
            except Unavailable as problem:
                if problem.reason == "FOLLOWER_HALTED" or self._position == before:
                    raise

    async def reached(self, sequence: int, timeout_seconds: float = 5.0) -> None:
        if self._position < sequence:
            await self._until(lambda: self._position >= sequence, f"sequence {sequence}", timeout_seconds)

    async def _until(self, there: Callable[[], bool], what: str, timeout_seconds: float) -> None:
        until = monotonic() + timeout_seconds
        pause = _PROBE_AFTER_SECONDS
        while not there():
            if self.state in (FollowerState.HALTED, FollowerState.STOPPED):
                raise Unavailable(
                    "FOLLOWER_HALTED",
                    f"follower {self._name} has ended at {self._position} ({self.halt_reason or self.state})",
                    follower=self._name,
                )
            left = until - monotonic()
            if left <= 0:
                raise Unavailable(
                    "FOLLOWER_BEHIND",
                    f"follower {self._name} is at {self._position}, not yet at {what}; try again",
                    follower=self._name,
                )
            if self._feed is not None:
                self._feed.hurry()
            try:
                async with asyncio.timeout(min(left, pause)):
                    await self._moved.wait()
            except TimeoutError:
                # What is waited for may not match the filters: ask where the end is.
                self._probe()
                pause = min(0.5, pause * 4)

    def _probe(self) -> None:
        if self._feed is not None and (self._probing is None or self._probing.done()):
            self._probing = asyncio.create_task(_probe(self._feed), name=f"probe {self._name}")

    def _move(self) -> None:
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    async def _run(self) -> None:
        pause = 0.02
        while True:
            try:
                self._feed = await self._source.open(
                    self._filters, self._position, self._last, gather_seconds=self._gather_seconds
                )
                if self.state is FollowerState.HALTED:
                    _log.warning("follower goes on", follower=self._name, after=self._position)
                self.state, self.halt_reason = FollowerState.FOLLOWING, ""
                pause = 0.02
                await self._read(self._feed)
                return
            except LogDiverged as problem:
                if self.state is not FollowerState.HALTED:
                    self._halt(problem.reason, str(problem))
                await asyncio.sleep(_LOOK_AGAIN_SECONDS)
            except (FeedBroken, Unavailable, NotConnected) as problem:
                if self.state is not FollowerState.HALTED:
                    self.state = FollowerState.OPENING
                _log.info("follower reopens", follower=self._name, after=self._position, why=str(problem))
                await asyncio.sleep(pause / 2 + jitter(pause / 2))
                pause = min(_LONGEST_PAUSE_SECONDS, pause * 2)
            except Exception:  # noqa: BLE001 - a follower that dies unseen would look like a quiet log
                _log.critical("follower failed", follower=self._name, exc_info=True)
                self._halt("FOLLOWER_FAILED", "an error that nobody expected")
                return
            finally:
                feed, self._feed = self._feed, None
                if feed is not None:
                    await feed.close()

    async def _read(self, feed: Feed) -> None:
        """Deliver until the feed breaks; return when delivery has failed for good."""
        while True:
            batch = await feed.next()
            if batch.events:
                if not await self._hand_over(batch.events):
                    return
                self._last = batch.events[-1]
            self._position = max(self._position, batch.upto)
            self._lag = batch.lag
            if batch.at_end is not None:
                self._at_end = batch.at_end
            self._move()

    async def _hand_over(self, events: list[Recorded]) -> bool:
        if not self._verbatim:
            events = [believed(each) for each in events]
        for n in range(TRIES):
            try:
                await self._deliver(events)
                return True
            except Exception as problem:  # noqa: BLE001 - whatever it is, it is tried again, then halts
                first, last = events[0].sequence, events[-1].sequence
                _log.warning(
                    "delivery failed", follower=self._name, first=first, last=last, exc_info=True, tries=n + 1
                )
                if n + 1 == TRIES:
                    text = f"{type(problem).__name__} on events {first} to {last}"
                    self._halt("DELIVERY_FAILED", text)
                    return False
                await asyncio.sleep(0.05 * 2**n + jitter(0.05))
        return False

    def _halt(self, reason: str, text: str) -> None:
        self.state = FollowerState.HALTED
        self.halt_reason = reason
        _log.error("follower halted", follower=self._name, reason=reason, why=text, position=self._position)
        self._move()


async def _probe(feed: Feed) -> None:
    try:
        await feed.probe()
    except Unavailable:
        return  # whoever waits is told when their time is up
