"""Two replicas of state over one log and one store, without servers of their own, under a clock that is moved."""

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from chassis import process, store
from chassis.eventlog.connection import connect
from chassis.eventlog.follower import Follower
from chassis.eventlog.jetstream import JetStreamLog
from chassis.eventlog.memory import MemoryLog
from chassis.eventlog.stream import ensure_stream
from kernel.events import Cause
from kernel.faults import Unavailable
from services.state.adapters import LogHistory, RedisStore, SequencingLog, aggregates_over
from services.state.domain.view import View
from services.state.handlers import Kept, Turns, Vigil
from services.state.handlers.agents import Agents
from services.state.handlers.boards import Boards
from services.state.handlers.fencing import Fencing
from services.state.handlers.inboxes import Inboxes
from services.state.handlers.locks import Locks
from services.state.handlers.working import Working
from services.state.handlers.writing import Writing
from services.state.reactor import HeldSets, Judging, Reactor, Sharing, StoreAudit, StoreMirror, in_step
from services.state.wire import CODEC
from tests.fakes.wait import until
from tests.unit.state.worlds import T0

T = TypeVar("T")
_tenants = itertools.count(1)


class Moved:
    """The wall clock stands where it was put; what is left of a wait never gets less."""

    def __init__(self) -> None:
        self.moment = 0.0

    def now(self) -> datetime:
        return T0 + timedelta(seconds=self.moment)

    def monotonic(self) -> float:
        return 0.0


@dataclass
class Replica:
    kept: Kept
    locks: Locks
    agents: Agents
    turns: Turns
    follower: Follower
    audit: StoreAudit
    boards: Boards
    inboxes: Inboxes


@dataclass
class Source:
    """Where a replica's log comes from, and where it ended before."""

    log: Any
    feed: Any
    last: int


def in_memory() -> Any:
    """The same log for each replica."""
    log = MemoryLog(CODEC)

    @asynccontextmanager
    async def opened() -> AsyncIterator[Source]:
        yield Source(log, log, 0)

    return opened


def on_jetstream(url: str) -> Any:
    """A connection of its own for each replica; what others wrote before is passed over."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[Source]:
        connection = await connect(url, name="locks")
        await ensure_stream(connection, max_bytes=256 * 1024**2)
        log = JetStreamLog(connection, CODEC, source="provost/test")
        yield Source(log, connection, await log.last_sequence())
        await connection.close()

    return opened


class House:
    """Enter it with `open`; everything in it is of one tenant that nobody had before."""

    def __init__(self, opened: Any, url: str) -> None:
        self._opened = opened
        self._url = url
        self._stack = AsyncExitStack()
        self._asked = 0
        self.tenant = f"house-{next(_tenants)}"
        self.clock = Moved()
        self.replicas: list[Replica] = []

    async def open(self) -> None:
        self.store = store.connect(self._url)
        self._stack.push_async_callback(self.store.aclose)
        await self.store.flushall()
        for _ in range(2):
            source = await self._stack.enter_async_context(self._opened())
            self.replicas.append(await self._replica(source))

    async def close(self) -> None:
        for replica in self.replicas:
            replica.turns.close()
        await self._stack.aclose()

    async def _replica(self, source: Source) -> Replica:
        sequencing, view, filters = SequencingLog(source.log), View(), (f"evt.{self.tenant}.state.>",)
        kept, every = aggregates_over(sequencing, CODEC)
        derived = RedisStore(self.store)
        mirror = StoreMirror(view, derived, now=self.clock.now, new_mark=process.new_id)
        turns = Turns()
        sets = HeldSets(source.feed, 30.0)  # nobody publishes one here: it need not be started
        judging = Judging(Vigil(kept, mirror, self.clock, sets.patience_seconds), turns, self.clock)
        reactor = Reactor(view, mirror)
        reactor.feeds(*every, Sharing(kept, view), judging)
        follower = Follower(source.feed, filters, source.last, reactor.deliver, "state")
        history = LogHistory(source.log, filters)
        await mirror.open(source.log.last_sequence)
        await follower.start()
        self._stack.push_async_callback(follower.stop)
        await follower.caught_up()
        await self._stack.enter_async_context(in_step((follower,), mirror, _nobody_asks))
        await self._stack.enter_async_context(judging.at_work())
        writing = Writing(view)
        working = Working(kept, view, sets, follower, writing)
        fencing = Fencing(kept, working, writing, self.clock)
        return Replica(
            kept,
            Locks(kept, view, turns, working, writing, self.clock),
            Agents(kept, view, mirror, follower, working, writing),
            turns,
            follower,
            StoreAudit(view, derived, mirror, history, follower, self.clock.now),
            Boards(kept, follower, working, fencing),
            Inboxes(kept, follower, working, fencing),
        )

    def cause(self) -> Cause:
        self._asked += 1
        return Cause(self.tenant, f"r-{self._asked}", "service:test", self.clock.now())


async def patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """The store may be away for a moment after it was emptied, and then says so: asked until it is not."""
    found: list[T] = []

    async def answered() -> bool:
        with suppress(Unavailable):
            found.append(await ask())
        return bool(found)

    await until(answered, "the store does not come back")
    return found[0]


async def _nobody_asks(serving: bool) -> None:
    """Of the health of this."""
