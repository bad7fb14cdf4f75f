"""A store that holds what the log never said is wiped, to be filled from the log: at once, but not again and again.

Nobody but state writes its keys. Whoever does all the same may go on doing so, and a store that is wiped all the time
is of no use to anybody: the pauses between two wipes grow.
"""

from collections.abc import Callable

from chassis.telemetry import get_logger
from services.state.domain.faults import StoreSpoiled, StoreUnreachable
from services.state.ports import Store

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 60.0
QUIET_SECONDS = 600.0
"""When it was good for so long, what came before is forgotten."""
_log = get_logger("state.mirror")


class Mending:
    """`monotonic` is in seconds."""

    def __init__(self, store: Store, monotonic: Callable[[], float]) -> None:
        self._store = store
        self._monotonic = monotonic
        self._noticed = False
        self._pause = FIRST_PAUSE_SECONDS
        self._last: float | None = None
        self.times = 0
        """How often the store was wiped."""

    def notice(self, problem: StoreSpoiled) -> None:
        """Something lies there that must not."""
        if not self._noticed:
            _log.warning("store is not what the log says: it is filled anew", why=problem.what)
        self._noticed = True

    def filled(self) -> None:
        """What was noticed is gone: the store holds what the log says."""
        self._noticed = False

    async def mend(self) -> bool:
        """Wipe the store if anything was noticed, and say whether. Raises StoreUnreachable: not done, or not yet."""
        if not self._noticed:
            return False
        now = self._monotonic()
        if self._last is not None:
            if now < self._last + self._pause:
                raise StoreUnreachable
            again = now < self._last + QUIET_SECONDS
            pause = min(LONGEST_PAUSE_SECONDS, 2 * self._pause) if again else FIRST_PAUSE_SECONDS
        else:
            pause = FIRST_PAUSE_SECONDS
        await self._store.wipe()
        self._last, self._pause, self._noticed = now, pause, False
        self.times += 1
        return True
