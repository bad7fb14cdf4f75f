"""Watching: what is there, then every change, to any number of watches at little cost.

Nothing is queued for anyone. All watches of a tenant share one queue of what has changed lately, each thing once, and
a watch is a place in it: who reads slowly is told the latest of each thing, and who reads too slowly is told to begin
anew. What is told is encoded once, whoever reads it.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Iterable, Iterator
from itertools import islice, product, takewhile

from services.state.domain.board import Entry
from services.state.domain.faults import CursorExpired, CursorInvalid, TooManyWatches
from services.state.domain.lately import Change, Lately
from services.state.domain.standing import belongings
from services.state.domain.view import View
from services.state.domain.watching import Concern, Interest, Shown, Whose, concern, parties, shown_to
from services.state.handlers.watches import Group, Watch

MAX_WATCHES = 20_000
"""Each costs some 30 kB."""
HEARTBEAT_SECONDS = 10.0
GATHER_SECONDS = 0.02
"""What comes together is shown together."""
_LOOK_SECONDS = 0.25
_WOKEN_AT_ONCE = 16
"""So many tell what has changed before others have their turn."""
_PATIENCE_SECONDS = 0.01
"""So long the next ones wait for those: some may not be read."""


class Watching:
    """The watches of one process.

    `encode` makes a change what is told, `end` a cursor, and whether all that was there has been told. `reached` waits
    until everything up to a sequence has been taken; `log_end` is where the log ends.
    """

    def __init__(
        self,
        view: View,
        encode: Callable[[Shown], bytes],
        end: Callable[[str, bool], bytes],
        reached: Callable[[int], Awaitable[None]],
        log_end: Callable[[], Awaitable[int]],
        *,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
    ) -> None:
        self.view = view
        self.encode = encode
        self.end = end
        self._reached = reached
        self._log_end = log_end
        self._heartbeat_seconds = heartbeat_seconds
        self._begun = False
        self._began = 0
        self.sequence = 0
        """Everything up to here has been taken."""
        self._lately: dict[str, Lately] = {}
        self._whose: dict[tuple[str, ...], Whose] = {}
        """Of what may go over to another, by tenant and name."""
        self._groups: dict[Interest, Group] = {}
        self._changed: set[Group] = set()
        self._idle: OrderedDict[Watch, None] = OrderedDict()
        self._ready: deque[Watch] = deque()
        self._telling: set[Watch] = set()
        self._waking: asyncio.Handle | None = None
        self._looking: asyncio.TimerHandle | None = None
        self.open = 0
        """How many watches there are."""

    @property
    def behind(self) -> int:
        """How far the slowest watch is behind, in places of the log."""
        return max((self.sequence - watch.shown for watch in self.watches() if not watch.idle), default=0)

    def watches(self) -> Iterator[Watch]:
        """Those that are open."""
        return (watch for group in self._groups.values() for watch in group.watches)

    def begin(self) -> None:
        """What the view holds already is there to begin with; call before anything else is taken."""
        if not self._begun:
            self._begun, self._began, self.sequence = True, self.view.sequence, self.view.sequence
            self._whose = dict(belongings(self.view))

    def take(self, tenant: str, id: str, event: object, sequence: int) -> None:
        """Note what `event`, which the view has taken, changed; who watches it is told soon."""
        if not self._begun:
            self._begun, self._began = True, sequence - 1
        if sequence <= self.sequence:
            return
        self.sequence = sequence
        found = concern(tenant, id, event, sequence, self._tasks_of, self._between)
        if found is None:
            return
        lately = self._lately.get(tenant)
        if lately is None:
            lately = self._lately[tenant] = Lately(self._began)
        for each in (*self._left(tenant, lately, found), found):
            self._note(tenant, lately, each, sequence)

    def _note(self, tenant: str, lately: Lately, found: Concern, sequence: int) -> None:
        change, gone = lately.take(found, sequence)
        for each in gone:
            for group in self._interested(tenant, each.concern):
                group.lost = each.sequence
        for group in self._interested(tenant, found):
            group.add(change)
            if not self._changed:
                asyncio.get_running_loop().call_later(GATHER_SECONDS, self._tell)
            self._changed.add(group)

    def _left(self, tenant: str, lately: Lately, found: Concern) -> Iterable[Concern]:
        """The departures of what has gone over to another task or agent."""
        now, name = found.whose, (tenant, *found.name)
        if now is None:
            return ()
        # Who took an entry off has perhaps not told it yet, and nobody will when another has written it.
        before = self._whose.pop(name, None) or lately.whose(found.name)
        if not (isinstance(found.what, Entry) and not found.what.value):  # one that is taken off is nobody's
            self._whose[name] = now
        return found.departures(before) if before is not None and before != now else ()

    async def watch(self, interest: Interest, cursor: str) -> Watch:
        """A watch, to be closed: with a cursor of what has changed since, else beginning with what is there.

        Raises:
            CursorInvalid: not a cursor of this tenant and filter, or the log does not reach so far.
            CursorExpired: begin anew.
            TooManyWatches: there are as many as there is room for.
            Unavailable: this replica has not come so far; try again.
        """
        self.begin()
        if self.open >= MAX_WATCHES:
            raise TooManyWatches(MAX_WATCHES)
        after = shown_to(interest, cursor) if cursor else None
        if after is not None and after > self.sequence:
            if after > await self._log_end():
                raise CursorInvalid
            await self._reached(after)  # another replica was ahead of this one
        group = self._groups.get(interest)
        if group is None:
            lately = self._lately.get(interest.tenant)
            group = Group(interest, self.sequence, lately.forgotten if lately else self._began)
        if after is not None and after < group.lost:
            raise CursorExpired
        self._groups[interest] = group
        watch = Watch(self, group, after)
        group.watches.add(watch)
        self.open += 1
        if self._looking is None:
            self._looking = asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._look)
        return watch

    def changes(self, tenant: str) -> Iterator[Change]:
        lately = self._lately.get(tenant)
        return lately.newest_first() if lately is not None else iter(())

    def rest(self, watch: Watch) -> None:
        watch.said = asyncio.get_running_loop().time()
        self._idle[watch] = None
        self._telling.discard(watch)
        if self._waking is not None and not self._telling:
            self._waking.cancel()
            self._waking = asyncio.get_running_loop().call_soon(self._wake_some)

    def leave(self, watch: Watch) -> None:
        group = watch.group
        if watch not in group.watches:
            return
        group.watches.discard(watch)
        self._idle.pop(watch, None)
        self._telling.discard(watch)
        self.open -= 1
        if not group.watches and self._groups.get(group.interest) is group:
            del self._groups[group.interest]

    def _interested(self, tenant: str, found: Concern) -> Iterator[Group]:
        if not self._groups:
            return
        for task_id, agent_id in product({"", *found.tasks}, {"", *found.agents}):
            group = self._groups.get(Interest(tenant, task_id, agent_id))
            if group is not None and found.wanted(group.interest):
                yield group

    def _tasks_of(self, tenant: str, agent_id: str) -> tuple[str, ...]:
        agent = self.view.agents.get((tenant, agent_id))
        return agent.tasks if agent is not None else ()

    def _between(self, tenant: str, task_id: str, message_ids: tuple[str, ...]) -> Iterator[str]:
        """Whoever ever worked on the task, and whom else these are between, as far as they are still kept.

        A person may have sent one, and an agent that waits there without ever having had a lock been sent it.
        """
        if (crew := self.view.crews.get((tenant, task_id))) is not None:
            yield from crew.agents
        if (inbox := self.view.inboxes.get((tenant, task_id))) is not None:
            for each in filter(None, map(inbox.message, message_ids)):
                yield from parties(each)

    def _tell(self) -> None:
        """Wake who watches what has changed."""
        changed, self._changed = self._changed, set()
        self._rouse(watch for group in changed for watch in group.watches if watch.idle)

    def _look(self) -> None:
        """Wake those whose sign of life is due, not all of them at once."""
        self._looking = None
        if not self.open:
            return
        loop = asyncio.get_running_loop()
        self._looking = loop.call_later(_LOOK_SECONDS, self._look)
        long_ago = loop.time() - self._heartbeat_seconds
        most = max(_WOKEN_AT_ONCE, round(2 * self.open * _LOOK_SECONDS / self._heartbeat_seconds))
        due = list(islice(takewhile(lambda watch: watch.said <= long_ago, self._idle), most))
        for watch in due:
            watch.due = True
        self._rouse(due)

    def _rouse(self, watches: Iterable[Watch]) -> None:
        self._ready.extend(watch for watch in watches if self._idle.pop(watch, watch) is None)
        if self._waking is None:
            self._wake_some()

    def _wake_some(self) -> None:
        self._waking = None
        self._telling.clear()  # who is not done by now is a slow reader
        for _ in range(min(_WOKEN_AT_ONCE, len(self._ready))):
            watch = self._ready.popleft()
            self._telling.add(watch)
            watch.wake()
        if self._ready:
            self._waking = asyncio.get_running_loop().call_later(_PATIENCE_SECONDS, self._wake_some)
