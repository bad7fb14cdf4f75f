"""One watch: a place in what has changed, shared by all watches of the same filter as far as it can be."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol

from services.state.domain.faults import CursorExpired
from services.state.domain.lately import Change
from services.state.domain.snapshot import agent_now
from services.state.domain.standing import standing
from services.state.domain.view import View
from services.state.domain.watching import Interest, Shown, cursor_of

_OWN = 128
PIECE_BYTES = 128 * 1024
"""About so much is told at once: what is told and not yet read lies in memory for each watch."""


class Hub(Protocol):
    """What a watch asks of the watching it belongs to."""

    view: View
    sequence: int
    encode: Callable[[Shown], bytes]
    end: Callable[[str, bool], bytes]

    def changes(self, tenant: str) -> Iterator[Change]:
        """What has changed lately, newest first."""
        ...

    def rest(self, watch: "Watch") -> None:
        """It has nothing to tell: wake it when there is something."""
        ...

    def leave(self, watch: "Watch") -> None:
        """It is closed."""
        ...


class Group:
    """The watches of one filter. Where they stand alike they are told the same bytes."""

    __slots__ = ("_own", "_piece", "_since", "_snapshot", "changed", "interest", "lost", "watches")

    def __init__(self, interest: Interest, sequence: int, lost: int) -> None:
        self.interest = interest
        self.changed = sequence
        """Nothing of interest has changed behind this."""
        self.lost = lost
        """Something of interest up to here has been let go: who has not seen it must begin anew."""
        self.watches: set[Watch] = set()
        self._own: deque[Change] = deque(maxlen=_OWN)
        self._since = sequence
        """What is of interest behind this is in there: one who is not far behind need not look through all there is."""
        self._piece: tuple[int, int, bytes, int] | None = None
        self._snapshot: tuple[int, bytes] | None = None

    def add(self, change: Change) -> None:
        """This, which is of interest, has changed."""
        if len(self._own) == _OWN:
            self._since = self._own[0].sequence
        self._own.append(change)
        self.changed = change.sequence

    def changes(self, hub: Hub, after: int) -> tuple[bytes, int] | None:
        """What changed behind `after`, or the first of it, and up to where that is; `None` when nothing did.

        Raises:
            CursorExpired: it is no longer known.
        """
        if after >= self.changed:
            return None
        if after < self.lost:
            raise CursorExpired
        known = self._piece
        if known is None or known[:2] != (after, self.changed):
            told, upto = self._told(hub, after)
            known = self._piece = (after, self.changed, told, upto)
        return known[2:]

    def snapshot(self) -> bytes | None:
        """What is there, if it is known and not too much to be told at once."""
        known = self._snapshot
        return known[1] if known is not None and known[0] == self.changed else None

    def keep(self, snapshot: bytes) -> None:
        self._snapshot = (self.changed, snapshot)

    def _told(self, hub: Hub, after: int) -> tuple[bytes, int]:
        near = after >= self._since
        found: list[Change] = []
        for change in reversed(self._own) if near else hub.changes(self.interest.tenant):
            if change.sequence <= after:
                break
            if not change.replaced and (near or change.concern.wanted(self.interest)):
                found.append(change)
        told, n_bytes = [], 0
        for change in reversed(found):
            told.append(_encoded(hub, self.interest.tenant, change))
            n_bytes += len(told[-1])
            if n_bytes >= PIECE_BYTES and change is not found[0]:
                told.append(hub.end(cursor_of(self.interest, change.sequence), False))
                return b"".join(told), change.sequence
        told.append(hub.end(cursor_of(self.interest, hub.sequence), False))
        return b"".join(told), self.changed


class Watch:
    """To be read with `next` by one reader, and closed."""

    __slots__ = (
        "_cursor",
        "_given",
        "_group",
        "_hub",
        "_place",
        "_standing",
        "_wake",
        "due",
        "said",
        "shown",
    )

    def __init__(self, hub: Hub, group: Group, after: int | None) -> None:
        self._hub = hub
        self._group = group
        self._place = 0 if after is None else min(after, group.changed)
        self._given = self.shown = after or 0
        """Up to where everything has been given, and been read."""
        self._cursor = after is not None
        """Whether there is a cursor yet: not before all that is there has been read."""
        self._standing: Iterator[bytes] | None = self._snapshot() if after is None else None
        self._wake: asyncio.Future[None] | None = None
        self.due = after is not None
        """A sign of life is due; the first answer comes at once."""
        self.said = 0.0

    @property
    def interest(self) -> Interest:
        return self._group.interest

    @property
    def group(self) -> Group:
        return self._group

    @property
    def idle(self) -> bool:
        """Whether it has told everything and waits."""
        return self._wake is not None

    @property
    def cursor(self) -> str:
        """Behind everything that has been read; empty before all that was there has been."""
        upto = (
            self._hub.sequence
            if self.idle and not self.due and self._place >= self._group.changed
            else self.shown
        )
        return cursor_of(self.interest, upto) if self._cursor else ""

    async def next(self) -> bytes:
        """What is told next, as soon as there is something; to ask is to say that what came before has been read.

        Raises:
            CursorExpired: so much has changed since that some of it is no longer known.
        """
        self.shown = self._given
        if self._standing is not None:
            piece = next(self._standing, None)
            if piece is not None:
                return piece
            self._standing, self._cursor = None, True
        while True:
            told = self._group.changes(self._hub, self._place)
            if told is not None:
                self._place, self.due = told[1], False
                self._given = self._hub.sequence if self._place >= self._group.changed else self._place
                return told[0]
            self._place = self._group.changed
            self._given = self._hub.sequence
            if self.due:
                self.due = False
                return self._hub.end(cursor_of(self.interest, self._given), False)
            self.shown = self._given
            self._wake = asyncio.get_running_loop().create_future()
            self._hub.rest(self)
            try:
                await self._wake
            finally:
                self._wake = None

    def wake(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def close(self) -> None:
        self._hub.leave(self)

    def _snapshot(self) -> Iterator[bytes]:
        """All that is there, at one moment, however long it takes to be read."""
        hub, group = self._hub, self._group
        self._place, self._given = group.changed, hub.sequence
        known = group.snapshot()
        if known is not None:
            yield known
            return
        told: list[bytes] = []
        pieces = n_bytes = 0
        changed, ending = group.changed, hub.end(cursor_of(self.interest, hub.sequence), True)
        for shown in standing(hub.view, self.interest):
            if n_bytes >= PIECE_BYTES:
                pieces += 1
                yield b"".join(told)
                told, n_bytes = [], 0
            told.append(hub.encode(shown))
            n_bytes += len(told[-1])
        whole = b"".join((*told, ending))
        if not pieces and changed == group.changed:
            group.keep(whole)
        yield whole


def _encoded(hub: Hub, tenant: str, change: Change) -> bytes:
    if not change.encoded:
        what = change.what or agent_now(hub.view.agents[tenant, change.concern.name[1]])
        change.encoded, change.what = hub.encode(Shown(change.sequence, what)), None
    return change.encoded
