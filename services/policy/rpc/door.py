"""Those who come while others are answered are let in together.

What is done for one call after the other, in one go, costs less than the same for each as it comes, with gRPC's work in
between (`docs/decisions/0036`). And those who are let in together are written together, and share an fsync.

One party is waited for at a time. Its callers come back together, one by one: the next is let in when as many are here
as there were, those just answered and those who came meanwhile; without the rest when nobody has come for 2 ms, or
after some 30 ms. Of a party from which nobody has come out for 10 ms the rest is not waited for: it may wait for others
than the log. Who has been alone waits for nobody.
"""

import asyncio
from collections.abc import Callable

from chassis import process

PAUSE_SECONDS = 0.002
LATE_SECONDS = 0.0005
"""A pause that ends later than this was none: we were busy, and those who came may not have been let in yet."""
LONGEST_WAIT_SECONDS = 0.03
PATIENCE_SECONDS = 0.01
AT_ONCE = 64
"""So many are let in before anything else has its turn."""


class _Party:
    """Those who were let in together, as many as have not been answered yet."""

    def __init__(self, inside: int, answered: "Callable[[_Party], None]") -> None:
        self.inside = inside
        self._answered = answered

    def leave(self) -> None:
        self.inside -= 1
        self._answered(self)


class Door:
    """Each caller's work is done `async with door.turn():`."""

    def __init__(self, monotonic: Callable[[], float] = process.monotonic) -> None:
        self._monotonic = monotonic
        self._waiting: list[asyncio.Future[_Party]] = []
        self._party = _Party(0, self._answered)
        self._expected = 1
        self._moved_at = 0.0
        self._news = asyncio.Event()
        self._opening: asyncio.Task[None] | None = None

    def turn(self) -> "Turn":
        return Turn(self)

    async def enter(self) -> _Party:
        """The party that is let in; its `leave` is to be called once."""
        if self._opening is None and not self._party.inside and self._expected <= 1:
            self._moved_at = self._monotonic()
            self._party = _Party(1, self._answered)
            return self._party
        waiting: asyncio.Future[_Party] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        if len(self._waiting) >= self._expected:
            self._news.set()
        if self._opening is None:
            self._opening = asyncio.create_task(self._open(), name="door")
        try:
            return await waiting
        except asyncio.CancelledError:
            if waiting.done() and not waiting.cancelled():  # let in and gone at the same moment
                waiting.result().leave()
            raise

    def _answered(self, party: _Party) -> None:
        if party is not self._party:
            return
        self._moved_at = self._monotonic()
        if not party.inside:
            self._expected += len(self._waiting)
            self._news.set()

    async def _open(self) -> None:
        try:
            while self._waiting:
                while (
                    self._party.inside and (left := self._moved_at + PATIENCE_SECONDS - self._monotonic()) > 0
                ):
                    await self._news_within(left)
                if not self._party.inside and len(self._waiting) < self._expected:
                    await self._company()
                await self._let_in()
        finally:
            self._opening = None

    async def _company(self) -> None:
        """Wait for those who were answered together, as long as they keep coming."""
        until = self._moved_at + LONGEST_WAIT_SECONDS
        came = 0
        while came < len(self._waiting) < self._expected and (now := self._monotonic()) < until:
            came = len(self._waiting)
            if not await self._news_within(PAUSE_SECONDS) and self._overslept(now):
                came = 0

    def _overslept(self, since: float) -> bool:
        return self._monotonic() - since > PAUSE_SECONDS + LATE_SECONDS

    async def _news_within(self, seconds: float) -> bool:
        self._news.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return False
        return True

    async def _let_in(self) -> None:
        here, self._waiting = self._waiting, []
        self._party = party = _Party(len(here), self._answered)
        self._expected = len(here)
        for n in range(0, len(here), AT_ONCE):
            for each in here[n : n + AT_ONCE]:
                if each.done():
                    party.leave()  # gone meanwhile
                else:
                    each.set_result(party)
            await asyncio.sleep(0)  # each of them does what it can do at once
        self._moved_at = self._monotonic()


class Turn:
    """One caller's."""

    def __init__(self, door: Door) -> None:
        self._door = door

    async def __aenter__(self) -> None:
        self._party = await self._door.enter()

    async def __aexit__(self, *_: object) -> None:
        self._party.leave()
