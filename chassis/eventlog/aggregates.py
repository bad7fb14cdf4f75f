"""Aggregates of one kind, held in memory: decided on at once, fed by the follower, written through the log.

An aggregate one of whose events cannot be read is closed: nobody may read it or decide on it until a program that can
read the event is running. The others go on. What is no event of ours, and a copy of one, change nothing: whoever may
ask JetStream for anything may name any subject for the answer, and the server keeps it there.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import structlog

from chassis import metrics
from chassis.eventlog.codec import Codec, Unreadable
from chassis.eventlog.headers import is_event, repeats
from chassis.eventlog.held import Held
from chassis.eventlog.shared import Shared
from chassis.eventlog.shelf import Shelf
from chassis.process import jitter
from kernel.decider import Decider
from kernel.events import Appended, Cause, Head, Recorded, Stream
from kernel.faults import AppendConflict, Fault, Unavailable
from kernel.ports import EventLog, Following, Guard

S = TypeVar("S")
C = TypeVar("C")
E = TypeVar("E")

_log = structlog.get_logger("chassis.eventlog")
TRIES = 5
_CATCH_UP_SECONDS = 5.0


class Remembered(NamedTuple):
    """What there is to know of one aggregate, so that it need not be folded again."""

    tenant: str
    id: str
    state: Any
    head: Head
    answered: Mapping[str, int]
    """Event ids of what was answered last; may hold newer ones than `head`."""


class _NotSure(Exception):
    """Nothing would be appended, by what is known here: another replica may have written what makes that wrong."""

    def __init__(self, fault: Fault | None = None) -> None:
        super().__init__()
        self.fault = fault
        """The no that it came to, if it did."""


class HeldAggregates(Generic[C, S, E]):
    """Implements `kernel.ports.Aggregates`. What has ended, as `decider` says, is laid on `shelf`, if there is one."""

    def __init__(
        self, decider: Decider[C, S, E], log: EventLog, codec: Codec, shelf: Shelf | None = None
    ) -> None:
        self._decider = decider
        self._log = log
        self._codec = codec
        self._shelf = shelf
        self._held: dict[str, dict[str, Held[S]]] = {}
        self._place = (decider.context, decider.aggregate)
        self._mark = f".{decider.context}.{decider.aggregate}."
        self._moved = asyncio.Event()
        self._look = Shared(self.catch_up)
        self.following: Following | None = None
        """Who delivers, if it shall be asked to hurry after a conflict: worth it where several write all the time."""
        self.second_look = False
        """Whether what appends nothing, a no or nothing to do, is decided again when all of the log is known: where
        another replica may know better, and no conflict would tell."""

    @property
    def filters(self) -> tuple[str, ...]:
        """What a follower has to follow for these."""
        return (f"evt.*.{self._decider.context}.{self._decider.aggregate}.*.*",)

    def current(self, tenant: str, id: str) -> S:
        """The state now; the initial state if there are no events.

        Raises:
            Unavailable: an event of it cannot be read (reason `UNREADABLE_EVENT`), or the disk on which it lies, as it
                is over (`STORE_UNREACHABLE`).
        """
        held = self._held.get(tenant, {}).get(id)
        if held is None:
            return self._decider.initial
        if held.closed:
            raise _closed(held.closed)
        return held.state

    def head(self, tenant: str, id: str) -> Head:
        """The last event; sequence 0 if there are none."""
        held = self._held.get(tenant, {}).get(id)
        return Head() if held is None else held.head

    def sequences(self, tenant: str, id: str) -> tuple[int, ...]:
        """Where its last events stand, `REMEMBERED_IDS` at most, oldest first."""
        held = self._held.get(tenant, {}).get(id)
        return () if held is None else tuple(sorted(held.answered.values()))

    def all(self, tenant: str) -> Iterator[tuple[str, S]]:
        """Id and state of every aggregate of the tenant that has events and can be read, in the order they began."""
        for key, held in self._readable(tenant):
            yield key, held.state

    def endings(self, tenant: str) -> Iterator[tuple[str, str]]:
        """Id of each of `all`, and how it ended; empty while it has not."""
        for key, held in self._readable(tenant):
            yield key, held.ended

    def tenants(self) -> frozenset[str]:
        """Every tenant that has an aggregate of this kind."""
        return frozenset(tenant for tenant in self._held if any(self.endings(tenant)))

    def remembered(self) -> list[Remembered] | None:
        """All of them as they are now; `None` when one is closed, and only the log may say what it is."""
        found: list[Remembered] = []
        for tenant, of_tenant in self._held.items():
            for key, held in of_tenant.items():
                if held.closed:
                    return None
                if held.head.sequence:
                    found.append(Remembered(tenant, key, held.state, held.head, held.answered))
        return found

    def restore(self, remembered: Iterable[Remembered]) -> None:
        """Hold these, before anything is taken or handled: what is followed then is what came behind them."""
        for each in remembered:
            held = self._of(each.tenant, each.id)
            held.restore(each.state, each.head, dict(each.answered))
            held.rest(self._decider.ended(each.state), self._shelf)

    async def take(self, events: Sequence[Recorded]) -> None:
        """Fold in what the follower delivers; what is known, of another kind, or there twice, is passed over."""
        for recorded in events:
            if self._mark not in recorded.subject:
                continue
            parts = recorded.subject.split(".")
            if len(parts) != 6 or (parts[2], parts[3]) != self._place:
                continue
            held = self._of(parts[1], parts[4])
            if recorded.sequence <= held.head.sequence:
                continue
            if why := _no_event(recorded, held):
                held.pass_over(recorded.sequence)
                metrics.NO_EVENTS.inc()
                _log.warning(
                    "message passed over", sequence=recorded.sequence, subject=recorded.subject, why=why
                )
                continue
            try:
                event: E = self._codec.decode(recorded)  # type: ignore[assignment]
                if not held.closed:
                    held.state = self._decider.evolve(held.state, event)
            except Unreadable as problem:
                self._close(held, recorded, problem.text)
            except Exception as problem:  # noqa: BLE001 - one poisoned aggregate must not stop the others
                self._close(held, recorded, f"it does not follow from what was before ({problem!r})")
            self._advance(parts[1], parts[4], held, recorded.sequence, recorded.event_id)
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    async def catch_up(self) -> None:
        """Wait until all that is in the log at this moment is known here: before a no that others may know to be wrong.

        Raises:
            Unavailable: it is not, in time.
        """
        assert self.following is not None, "nobody follows for these"
        await self.following.reached(await self._log.last_sequence(), _CATCH_UP_SECONDS)

    def answered(self, id: str, command: type[C], cause: Cause) -> Appended | None:
        """What this request, for such a command, wrote before, of the last `REMEMBERED_IDS` events."""
        held = self._held.get(cause.tenant, {}).get(id)
        if held is None:
            return None
        event_id = Stream(cause.tenant, *self._place, id).event_id(cause.asking(command).request_id)
        before = held.answered.get(event_id)
        return None if before is None else Appended(before, (event_id,), duplicate=True)

    async def handle(self, id: str, command: C, cause: Cause, guard: Guard | None = None) -> Appended:
        """Decide and append in `cause.tenant`, as `kernel.ports.Aggregates` says.

        Raises:
            Fault: what `decide` or `guard` raised, or what the log raised.
            Unavailable: an event of the aggregate cannot be read (reason `UNREADABLE_EVENT`).
        """
        stream = Stream(cause.tenant, *self._place, id)
        cause = cause.asking(type(command))
        held = self._of(cause.tenant, id)
        if held.lock is None:
            held.lock = asyncio.Lock()
        held.users += 1
        try:
            try:
                # One at a time in this process: a neighbour's conflict is known without asking the server.
                async with held.lock:
                    return await self._handle(stream, held, command, cause, guard, not self.second_look)
            except _NotSure as unsure:
                # Nobody waits behind the look: it may take as long as the log is away.
                try:
                    await self._look()
                except Unavailable:
                    if unsure.fault is None:
                        raise
                    raise unsure.fault from None  # a no stands
            async with held.lock:
                return await self._handle(stream, held, command, cause, guard, looked=True)
        finally:
            held.users -= 1
            if not held.users:
                held.lock = None
                if not held.head.sequence:
                    # Nothing came of it: ids that somebody made up must not stay in memory.
                    self._held[cause.tenant].pop(id, None)

    async def _handle(
        self, stream: Stream, held: Held[S], command: C, cause: Cause, guard: Guard | None, looked: bool
    ) -> Appended:
        for _ in range(TRIES - 1):
            try:
                return await self._decide_and_append(stream, held, command, cause, guard, looked)
            except AppendConflict as conflict:
                await self._after_conflict(held, conflict)
        return await self._decide_and_append(stream, held, command, cause, guard, looked)

    async def _decide_and_append(
        self, stream: Stream, held: Held[S], command: C, cause: Cause, guard: Guard | None, looked: bool
    ) -> Appended:
        """Raises _NotSure when nothing is to be appended and nobody has `looked`."""
        event_id = stream.event_id(cause.request_id)
        while True:
            if held.closed:
                raise _closed(held.closed)
            before = held.answered.get(event_id)
            if before is not None:
                return Appended(before, (event_id,), duplicate=True)
            try:
                event = self._decider.decide(held.state, command)
            except Fault as fault:
                if looked:
                    raise
                raise _NotSure(fault) from None
            if event is None:
                if looked:
                    return Appended(held.head.sequence, ())
                raise _NotSure
            if guard is None or (settled := guard()) is None:
                break
            await settled  # and decide again: all may be different now
        appended = await self._log.append(stream, (event,), after=held.head, cause=cause, guard=guard)
        if appended.duplicate:
            # An earlier try wrote another event than this one (another time in it): take that one.
            await self._until(held, appended.sequence)
        elif appended.sequence > held.head.sequence:
            held.state = self._decider.evolve(held.state, event)
            self._advance(stream.tenant, stream.id, held, appended.sequence, event_id)
        return appended

    async def _after_conflict(self, held: Held[S], conflict: AppendConflict) -> None:
        actual = int(conflict.facts.get("actual_sequence", "0"))
        if actual > held.head.sequence:
            await self._until(held, actual)
        else:
            await asyncio.sleep(0.005 + jitter(0.02))

    async def _until(self, held: Held[S], sequence: int) -> None:
        """Wait until the follower has brought this aggregate to `sequence`."""
        if self.following is not None:
            await self.following.reached(sequence, _CATCH_UP_SECONDS)
            return
        try:
            async with asyncio.timeout(_CATCH_UP_SECONDS):
                while held.head.sequence < sequence:
                    await self._moved.wait()
        except TimeoutError:
            text = f"event {sequence} has not been read yet; try again"
            raise Unavailable("FOLLOWER_BEHIND", text, sequence=str(sequence)) from None

    def _close(self, held: Held[S], recorded: Recorded, why: str) -> None:
        held.closed = held.closed or f"{recorded.subject} is closed by event {recorded.sequence}: {why}"
        _log.error("aggregate closed", why=held.closed)

    def _readable(self, tenant: str) -> Iterator[tuple[str, Held[S]]]:
        for key, held in list(self._held.get(tenant, {}).items()):
            if held.head.version and not held.closed:
                yield key, held

    def _of(self, tenant: str, key: str) -> Held[S]:
        of_tenant = self._held.setdefault(tenant, {})
        held = of_tenant.get(key)
        if held is None:
            held = of_tenant[key] = Held(self._decider.initial)
        return held

    def _advance(self, tenant: str, key: str, held: Held[S], sequence: int, event_id: str) -> None:
        if not held.head.version:
            # It begins now, whenever somebody first asked for it: `all` is in the order of beginnings.
            self._held[tenant][key] = self._held[tenant].pop(key)
        held.advance(sequence, event_id)
        held.rest(self._decider.ended(held.state), self._shelf)


def _no_event(recorded: Recorded, held: Held[Any]) -> str:
    """Why it is none, or none any more; empty for an event, readable or not."""
    if not is_event(recorded):
        return "it has no header of an event"
    event_id, sequence = recorded.event_id, recorded.sequence
    # What was restored may know newer ids than its head.
    known = bool(event_id) and held.answered.get(event_id, sequence) < sequence
    if known or repeats(recorded, held.head.sequence):
        return "it is a copy of an event before it"
    return ""


def _closed(text: str) -> Unavailable:
    return Unavailable("UNREADABLE_EVENT", text)
