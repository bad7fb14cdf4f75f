"""The store, and what this process has in memory and answers from, held against the log: compared with a fold made for
the purpose. The store can be filled anew from one."""

from collections.abc import Callable
from datetime import datetime

from kernel.events import Recorded
from kernel.ports import Following
from services.state.domain.documents import Content, comparable, digest, documents
from services.state.domain.view import View
from services.state.ports import History, Rebuilt, Store, Verdict
from services.state.reactor.follow import fold
from services.state.reactor.mirror import StoreMirror

_TRIES = 5


class StoreAudit:
    """Implements `services.state.ports.Audit`."""

    def __init__(
        self,
        view: View,
        store: Store,
        mirror: StoreMirror,
        history: History,
        following: Following,
        now: Callable[[], datetime],
    ) -> None:
        self._view = view
        self._store = store
        self._mirror = mirror
        self._history = history
        self._following = following
        self._now = now

    async def rebuild(self) -> Rebuilt:
        fresh = _Fresh(self._history)
        await fresh.reach(await self._history.last_sequence())
        async with self._mirror.held():
            # What is followed by now has to be in the store afterwards, too.
            upto = max(fresh.reached, self._view.sequence)
            await fresh.reach(upto)
            await self._store.wipe()
            await self._mirror.fill(fresh.view, upto)
        return Rebuilt(fresh.events, digest(comparable(_contents(fresh.view), self._now())))

    async def verify(self) -> Verdict:
        await self._following.reached(await self._history.last_sequence())
        fresh = _Fresh(self._history)
        await fresh.reach(self._view.sequence)  # most of it before the store is held still
        for tries_left in reversed(range(_TRIES)):
            async with self._mirror.held():
                await self._mirror.catch_up()
                told, upto = _contents(self._view), self._view.sequence  # of one moment: it goes on meanwhile
                found = await self._store.dump()
                position = await self._store.position()
            await fresh.reach(upto)
            at = self._now()
            store, memory, log = (comparable(each, at) for each in (found, told, _contents(fresh.view)))
            verdict = _compare(store, memory, log, fresh.reached)
            # With other replicas about, the store may be ahead of this one: look again when this one is further.
            if verdict.equal or position == fresh.reached or tries_left == 0:
                return verdict
        raise AssertionError("the last try returns")


class _Fresh:
    """A fold of the log that owes nothing to what this process has in memory."""

    def __init__(self, history: History) -> None:
        self._history = history
        self.view = View()
        self.events = 0
        self.reached = 0

    async def reach(self, sequence: int) -> None:
        await self._history.replay(self._take, self.reached, sequence)
        self.reached = max(self.reached, sequence)

    def _take(self, recorded: Recorded) -> None:
        self.events += 1
        fold(self.view, recorded)


def _contents(view: View) -> dict[str, Content]:
    return {each.key: each.content for each in documents(view, list(view.places()), whole=True)}


def _compare(
    store: dict[str, object], memory: dict[str, object], log: dict[str, object], at_sequence: int
) -> Verdict:
    differing = _differing(store, log) + [f"{key} (in memory)" for key in _differing(memory, log)]
    return Verdict(not differing, digest(store), digest(log), tuple(differing), at_sequence)


def _differing(some: dict[str, object], log: dict[str, object]) -> list[str]:
    return sorted(key for key in some.keys() | log.keys() if some.get(key) != log.get(key))
