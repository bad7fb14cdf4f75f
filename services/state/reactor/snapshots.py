"""Where state begins: at a snapshot of the log's fold, so that its tail alone has to be followed.

Taken now and then, in slices between which requests are answered, and when state ends. What is there is a copy and a
convenience: whatever is wrong with it, the log is folded from its beginning.
"""

import asyncio
import gc
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

from chassis.eventlog.aggregates import HeldAggregates, Remembered
from chassis.process import monotonic
from chassis.telemetry import get_logger
from kernel.events import derived_id
from kernel.faults import Fault
from kernel.ports import Following
from services.state.domain.documents import comparable, documents, key_of
from services.state.domain.plain import to_json
from services.state.domain.taken import SnapshotTaken, still
from services.state.domain.view import View
from services.state.ports import Artifacts, Naming
from services.state.wire.folded import Foreign, pieces, unfolded

EVERY = 50_000
"""So far may the log have gone on before another one is taken."""
AT_THE_END = 5_000
"""When state ends, so many are worth one."""
_AT_THE_END_SECONDS = 5.0
KEPT = 2
TENANT = "all"
UNNAMED = timedelta(minutes=1)
"""Younger ones that the log does not name may be another process's, which is about to name it."""
_KINDS = ("agent", "task", "board", "inbox", "checkpoints")
"""Of aggregates, in their order."""
_LOOK_SECONDS = 1.0
_PLACES_AT_ONCE = 50
_SLICE_SECONDS, _PAUSE_SECONDS = 0.002, 0.004
_log = get_logger("state.snapshots")


class SnapshotKeeper:
    """Takes snapshots of the view and the aggregates, and begins with the newest that is good."""

    def __init__(
        self,
        view: View,
        aggregates: Sequence[HeldAggregates[Any, Any, Any]],
        contents: Artifacts,
        naming: Naming,
        now: Callable[[], datetime],
    ) -> None:
        self._view = view
        self._aggregates = aggregates
        self._contents = contents
        self._naming = naming
        self._now = now
        self._upto = 0

    async def load(self, log_end: int) -> int:
        """Fill the view and the aggregates, which are empty; up to where, 0 when there is no snapshot to begin with."""
        try:
            named = await self._naming.newest(KEPT)
        except Fault as problem:
            _log.warning("the log does not say which snapshots there are", why=problem.text)
            return 0
        for taken in named:
            why = await self._load(taken, log_end)
            if not why:
                self._upto = taken.upto_sequence
                _log.info("state begins with a snapshot", upto=taken.upto_sequence)
                return taken.upto_sequence
            _log.warning("snapshot is passed over", upto=taken.upto_sequence, why=why)
        return 0

    async def _load(self, taken: SnapshotTaken, log_end: int) -> str:
        """Why it could not be; empty when it could."""
        if taken.upto_sequence > log_end:
            return "it is ahead of the log"
        try:
            content = await self._contents.get(TENANT, taken.artifact_sha256)
        except Fault as problem:
            return problem.text
        if content is None:
            return "it is not here, or damaged"
        gc.disable()  # nothing of it is garbage
        try:
            view, kinds = unfolded(content, len(self._aggregates))
        except Foreign as problem:
            return str(problem)
        finally:
            gc.enable()
        vars(self._view).update(vars(view))
        for aggregates, kind in zip(self._aggregates, kinds, strict=True):
            aggregates.restore(Remembered(*each) for each in kind)
        for aggregate, kind in zip(_KINDS, kinds, strict=True):
            for tenant, name, state, *_ in kind:
                self._view.share(aggregate, tenant, name, state)
        return ""

    @asynccontextmanager
    async def taking(self, following: Following) -> AsyncIterator[None]:
        """Inside, one is taken whenever `following` has gone on far enough, and one at the end."""
        task = asyncio.create_task(self._keep_taking(following), name="snapshots")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})
        if following.position - self._upto >= AT_THE_END:
            try:
                async with asyncio.timeout(_AT_THE_END_SECONDS):
                    await self._take_or_say(following.position, 0.0)
            except TimeoutError:
                _log.warning("no snapshot was taken at the end", why="it took too long")

    async def _keep_taking(self, following: Following) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            if following.position - self._upto >= EVERY:
                await self._take_or_say(following.position, _PAUSE_SECONDS)

    async def _take_or_say(self, upto: int, pause_seconds: float) -> None:
        self._upto = upto  # one that fails is not tried again and again
        try:
            await self.take(upto, pause_seconds)
        except (Fault, OSError) as problem:
            _log.warning("no snapshot was taken", why=str(problem))

    async def take(self, upto: int, pause_seconds: float = 0.0) -> SnapshotTaken | None:
        """Take one: everything up to `upto` has been followed. `None` when the log alone may say what something is.

        Raises Unavailable, Exhausted.
        """
        # All of this is of one moment: from here to the first await nothing else runs.
        kinds = [aggregates.remembered() for aggregates in self._aggregates]
        view = still(self._view)
        if None in kinds:
            return None
        rest = _Rests(pause_seconds)
        content = bytearray()
        for piece in pieces(view, [kind or () for kind in kinds]):
            content += piece
            await rest.now_and_then()
        at = self._now()
        state_hash = await _digest(view, at, rest)
        sha256 = await self._contents.hash(bytes(content))
        await self._contents.put(TENANT, sha256, bytes(content))
        taken = SnapshotTaken(upto, sha256, state_hash, len(content), at)
        if not await self._naming.name(taken, derived_id("snapshot", sha256, str(upto))):
            _log.info("another process has just taken a snapshot")
        kept = await self._naming.newest(KEPT)
        names = frozenset(each.artifact_sha256 for each in kept)
        await self._contents.keep_only(TENANT, names, (self._now() - UNNAMED).timestamp())
        _log.info("snapshot taken", upto=upto, size_bytes=len(content))
        return taken


class _Rests:
    """Lets requests be answered between slices of work."""

    def __init__(self, pause_seconds: float) -> None:
        self._pause_seconds = pause_seconds
        self._since = monotonic()

    async def now_and_then(self) -> None:
        if monotonic() - self._since > _SLICE_SECONDS:
            await asyncio.sleep(self._pause_seconds)
            self._since = monotonic()


async def _digest(view: View, at: datetime, rest: _Rests) -> str:
    """As `services.state.domain.documents.digest` of the whole view, in slices."""
    places = sorted(view.places(), key=key_of)
    hashed, comma = hashlib.sha256(b"{"), ""
    for start in range(0, len(places), _PLACES_AT_ONCE):
        some = documents(view, places[start : start + _PLACES_AT_ONCE], whole=True)
        for key, value in sorted(comparable({each.key: each.content for each in some}, at).items()):
            hashed.update(f"{comma}{json.dumps(key, ensure_ascii=False)}:{to_json(value)}".encode())
            comma = ","
        await rest.now_and_then()
    hashed.update(b"}")
    return "sha256:" + hashed.hexdigest()
