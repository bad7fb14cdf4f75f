"""When agents were last heard of, as the store has it: asked for many at once, and good for a moment."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from chassis.process import monotonic
from services.state.domain.view import Place

GOOD_SECONDS = 0.05
"""So long is what another process has heard not asked for again; what this one hears is known at once."""
MOST_AT_ONCE = 256
MOST_KNOWN = 4096

_Found = Mapping[Place, str | None]


class Heartbeats:
    """One call of `read` asks for whom it must, and for all who were asked for since the call before."""

    def __init__(self, read: Callable[[Sequence[Place]], Awaitable[Sequence[str | None]]]) -> None:
        self._read = read
        self._known: dict[Place, tuple[str | None, float]] = {}
        self._asked: set[Place] = set()
        self._reading: dict[Place, asyncio.Task[_Found]] = {}

    async def of(self, place: Place) -> str | None:
        """The text at `place`. Raises what `read` raises."""
        if len(self._asked) < MOST_AT_ONCE:
            self._asked.add(place)
        known = self._known.get(place)
        if known is not None and monotonic() < known[1]:
            return known[0]
        reading = self._reading.get(place)
        if reading is None:
            places = {place, *(self._asked - self._reading.keys())}
            self._asked.clear()
            reading = asyncio.create_task(self._ask(tuple(places)))
            reading.add_done_callback(_heard)
            self._reading |= dict.fromkeys(places, reading)
        # Who goes away takes nothing from the others.
        return (await asyncio.shield(reading))[place]

    def heard(self, place: Place, text: str) -> None:
        """It has changed, to `text`: whoever asks from now on is told."""
        self._reading.pop(place, None)
        self._keep({place: text})

    async def _ask(self, places: Sequence[Place]) -> _Found:
        this = asyncio.current_task()
        still: list[Place] = []
        try:
            found = dict(zip(places, await self._read(places), strict=True))
        finally:
            for place in places:
                if self._reading.get(place) is this:
                    del self._reading[place]
                    still.append(place)
        self._keep({place: found[place] for place in still})
        return found

    def _keep(self, found: _Found) -> None:
        if len(self._known) + len(found) > MOST_KNOWN:
            self._known.clear()
        until = monotonic() + GOOD_SECONDS
        for place, text in found.items():
            self._known[place] = (text, until)


def _heard(done: "asyncio.Task[_Found]") -> None:
    """All who asked may have gone away."""
    if not done.cancelled():
        done.exception()
