"""Keeps the store up with the view, and notices when the store has lost something.

The follower's side writes the store, nobody else: a handler answers as soon as its event is on disk, and a second
writer would cost every command another call for a millisecond's gain. Readers wait instead until what was followed is
applied. What changes is gathered for some milliseconds, unless somebody reads, so that a burst of events on one agent
is written once.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Any

from chassis.process import monotonic
from chassis.telemetry import get_logger
from kernel.faults import Unavailable
from services.state.domain.documents import Document, documents
from services.state.domain.faults import StoreSpoiled, StoreUnreachable
from services.state.domain.plain import iso
from services.state.domain.view import Part, Place, View
from services.state.ports import Store
from services.state.reactor.heartbeats import Heartbeats
from services.state.reactor.mending import Mending
from services.state.reactor.together import Together

CHECK_SECONDS = 1.0
GATHER_SECONDS = 0.25
"""How long the store may be behind the log while nobody reads: one call then writes what many events changed."""
PATIENCE_SECONDS = 5.0
SETTLE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 1.0
_PLACES_AT_ONCE = 2000
_TRIES = 5
_MOST_TOLD = 300
_log = get_logger("state.mirror")


class _Beats:
    """Signs of life that are written by one call."""

    __slots__ = ("documents", "lost", "written")

    def __init__(self) -> None:
        self.documents: list[Document] = []
        self.written = False
        self.lost = False


class StoreMirror:
    """Implements `services.state.ports.Mirror`, as long as `run` is running."""

    def __init__(
        self, view: View, store: Store, *, now: Callable[[], datetime], new_mark: Callable[[], str]
    ) -> None:
        self._view = view
        self._store = store
        self._mending = Mending(store, monotonic)
        self._now = now
        self._new_mark = new_mark
        self._behind: set[Place] = set()
        self._known: int | None = None
        """The position this process last brought the store to, or found it at; `None` when it must be filled."""
        self._applied = 0
        self._down = False
        self._filled = False
        self._skip_upto = 0
        self._working = asyncio.Lock()
        self._beats = _Beats()
        self._beating = asyncio.Lock()
        self._together = Together(self._read)
        self._heartbeats = Heartbeats(Together(self._read_beats).read)
        self._wake = asyncio.Event()
        self._hurry = asyncio.Event()
        self._moved = asyncio.Event()

    @property
    def filled(self) -> bool:
        """Whether the store has been brought up to the log, once."""
        return self._filled

    async def open(self, last_sequence: Callable[[], Awaitable[int]]) -> None:
        """Before anything is followed: learn how far the store is, for what lies behind that is not written again.

        A store that is behind what the view holds already is filled from it, for nobody will tell what lies between.
        One that is ahead of the log belongs to another log: it is wiped. Where the log ends, `last_sequence` is asked
        afterwards, for other replicas write meanwhile. Raises what it raises.
        """
        try:
            self._known = await self._store.position()
            if self._known is not None and self._known > (end := await last_sequence()):
                _log.error("store is ahead of the log and is wiped", store=self._known, log=end)
                self._known = None
                await self._store.wipe()
            if self._known is not None and self._known < self._view.sequence:
                self._known = None
        except StoreSpoiled as problem:
            self._mending.notice(problem)
        except StoreUnreachable as problem:
            _log.warning("store does not answer: it will be filled when it does", why=_why(problem))
        self._skip_upto = self._known or 0

    def changed(self, places: Sequence[Place]) -> None:
        """The view has moved on, and `places` are no longer what they were."""
        if self._view.sequence > self._skip_upto:
            self._behind.update(places)
        self._wake.set()

    async def run(self) -> None:
        """Keep up until cancelled; begin when the view has caught up with the log."""
        self._wake.set()
        pause = 0.02
        task = asyncio.current_task()
        # `asyncio.wait_for`, which the store's client uses, swallows a cancellation that comes together with an answer
        # (until Python 3.12): so it is also looked for.
        while task is None or not task.cancelling():
            await _within(self._wake.wait(), CHECK_SECONDS)  # else see whether the store is still what it was
            self._wake.clear()
            self._hurry.clear()
            try:
                async with self._working:
                    await self.catch_up()
                pause = 0.02
                await _within(self._hurry.wait(), GATHER_SECONDS)
            except Unavailable as problem:
                if not self._down:
                    _log.warning(
                        "store does not answer: it will be brought up to date when it does", why=_why(problem)
                    )
                self._set_down(True)
                await asyncio.sleep(pause)
                pause = min(_LONGEST_PAUSE_SECONDS, pause * 2)
                self._wake.set()

    async def read(self, places: Sequence[Place]) -> Sequence[str | None]:
        return await self._together.read(places)

    async def heartbeat(self, tenant: str, agent_id: str) -> str | None:
        return await self._heartbeats.of(Place(tenant, agent_id, Part.HEARTBEAT))

    async def beat(
        self, tenant: str, agent_id: str, at: datetime, expire_time: datetime, *, active: bool = False
    ) -> None:
        if self._down:
            raise StoreUnreachable
        parts = (Part.HEARTBEAT, Part.ACTIVITY) if active else (Part.HEARTBEAT,)
        group = self._beats
        group.documents += [
            Document(Place(tenant, agent_id, part), 0, iso(at), expire_time) for part in parts
        ]
        # Those that come while others are being written are written together: one call for all of them.
        async with self._beating:
            if group is self._beats:
                self._beats = _Beats()
            if group.lost:
                raise StoreUnreachable
            if not group.written:
                try:
                    await self._store.write(group.documents, at)
                except StoreUnreachable as problem:
                    group.lost = True
                    if isinstance(problem, StoreSpoiled):
                        self._notice(problem, self._mending.times)
                    raise
                group.written = True
        self._heartbeats.heard(Place(tenant, agent_id, Part.HEARTBEAT), iso(at))

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Inside, this process writes nothing to the store by itself."""
        async with self._working:
            yield
        self._wake.set()

    async def catch_up(self) -> None:
        """Bring the store up to the view, by changes or, after a loss, whole. Only inside `held`.

        Raises:
            StoreUnreachable: not done.
        """
        target = self._view.sequence
        try:
            await self._bring(target)
        except StoreSpoiled as problem:
            self._mending.notice(problem)
            await self._bring(target)
        self._applied = max(self._applied, target)
        self._filled = True
        self._set_down(False)

    async def _bring(self, target: int) -> None:
        if await self._mending.mend():
            self._known = None
        if self._known is not None and not await self._apply(self._known, target):
            _log.warning("store has lost something and is filled from the log", known=self._known)
            self._known = None
        if self._known is None:
            await self.fill(self._view, target)

    async def fill(self, view: View, upto: int) -> None:
        """Write all of `view`, which is the log's fold up to `upto`. Only inside `held`."""
        mark = self._new_mark()
        await self._store.begin_fill(mark)
        places = list(view.places())
        for start in range(0, len(places), _PLACES_AT_ONCE):
            some = places[start : start + _PLACES_AT_ONCE]
            await self._store.write(documents(view, some, whole=True), self._now())
        if not await self._store.finish_fill(mark, upto):
            raise StoreUnreachable  # wiped while it was being filled: again, from the beginning
        self._known = upto
        self._mending.filled()

    async def _apply(self, known: int, target: int) -> bool:
        """Write what has changed; `False` when the store is no longer what it was at `known`."""
        if not self._behind and target <= known:
            position = await self._store.position()
            return position is not None and position >= known
        places, self._behind = self._behind, set()
        try:
            missing = await self._store.write(documents(self._view, places), self._now())
            if missing:
                await self._store.write(documents(self._view, missing, whole=True), self._now())
            still_there = await self._store.advance(known, max(known, target))
        except BaseException:
            self._behind |= places
            raise
        self._known = max(known, target)
        return still_there

    async def _read(self, places: Sequence[Place]) -> Sequence[str | None]:
        for _ in range(_TRIES):
            known, times = await self._settled(), self._mending.times
            try:
                reading = await self._store.read(places)
            except StoreSpoiled as problem:
                self._notice(problem, times)
                continue
            if reading.position is not None and reading.position >= known:
                return reading.values
            self._known = None
            self._wake.set()
        raise StoreUnreachable

    def _notice(self, problem: StoreSpoiled, times: int) -> None:
        """Found when the store had been mended `times`: not what has been mended since."""
        if times == self._mending.times:
            self._mending.notice(problem)
            self._known = None
        self._wake.set()

    async def _read_beats(self, places: Sequence[Place]) -> Sequence[str | None]:
        """Heartbeats are not of the view: what it has not written yet, they need not wait for."""
        known = self._known
        if known is not None and not self._down:
            with suppress(StoreSpoiled):  # said again below
                reading = await self._store.read(places)
                if reading.position is not None and reading.position >= known:
                    return reading.values
        return await self._read(places)

    async def _settled(self) -> int:
        """Wait until everything that has been followed is applied; the position that the store then has, at least."""
        target = self._view.sequence
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while self._known is None or self._applied < target:
                    if self._down:
                        raise StoreUnreachable
                    self._hurry.set()
                    await self._moved.wait()
                return self._known
        except TimeoutError:
            raise StoreUnreachable from None

    async def settle(self) -> None:
        """Before this process ends: what it has followed is in the store, so that the next need not fill it whole."""
        with suppress(StoreUnreachable, TimeoutError):
            async with asyncio.timeout(SETTLE_SECONDS):
                await self._settled()

    def _set_down(self, down: bool) -> None:
        self._down = down
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()


def _why(problem: Unavailable) -> str:
    """Whether it is away, full, or takes not our password: what the store or its client said, which names no secret."""
    return str(problem.__cause__ or problem.text)[:_MOST_TOLD]


async def _within(fact: Coroutine[Any, Any, Any], seconds: float) -> None:
    """Wait for `fact`, but no longer than `seconds`."""
    try:
        async with asyncio.timeout(seconds):
            await fact
    except TimeoutError:
        pass  # long enough
