"""Invariant 12 for state: a watch that is cut off anywhere, read at any pace and resumed, misses nothing; one of a task
or an agent neither, and it hears of what goes over to another.

What it was told last of each thing is what is there, unread messages are those that it takes for unread; every message
came once; sequences only grow.
"""

import asyncio
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from provost.state.v1 import state_pb2 as pb
from services.state.domain import lately
from services.state.domain.faults import CursorExpired
from services.state.domain.inbox import INBOX, AcknowledgeMessages, Inbox, Message, MessageSent
from services.state.domain.watching import Interest
from services.state.handlers import watches
from services.state.handlers.watches import Watch
from tests.unit.state.test_watches import ALL, World
from tests.unit.state.worlds import T0

READERS = ("dba-1", "dba-2")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 5)),
        st.tuples(st.just("packet"), st.integers(0, 3)),
        st.tuples(st.just("send"), st.integers(0, 1)),
        st.tuples(st.just("acknowledge"), st.integers(0, 1)),
        st.tuples(st.just("read"), st.just(0)),
        st.tuples(st.sampled_from(("cut", "stop")), st.just(0)),
    ),
    max_size=60,
)


class Reader:
    """Reads a watch as it is told to, and remembers what it was told."""

    def __init__(self, world: World, of: Interest = ALL) -> None:
        self.world = world
        self.of = of
        self.watch: Watch | None = None
        self.cursor = ""
        self.things: dict[tuple[str, str], tuple[str, str, str]] = {}
        """Value, task and agent of each."""
        self.messages: list[str] = []
        self.unread: dict[str, set[str]] = {}
        """Who has not read each message, as far as it was told."""
        self.anew = 0
        self._last = 0
        self._begun = False

    async def read(self) -> None:
        """Read one answer, if there is one."""
        if self.watch is None:
            try:
                self.watch = await self.world.watching.watch(self.of, self.cursor)
            except CursorExpired:
                self.cursor, self.anew = "", self.anew + 1
                self.watch = await self.world.watching.watch(self.of, "")
            if not self.cursor:
                self.things.clear()
                self.unread.clear()
                self._begun = False
        reading = asyncio.ensure_future(self.watch.next())
        await asyncio.sleep(0)
        if not reading.done():
            reading.cancel()
            await asyncio.wait({reading})
            return
        try:
            answer = pb.WatchResponse.FromString(reading.result())
        except CursorExpired:
            self.cut()
            self.cursor, self.anew = "", self.anew + 1
            return
        for change in answer.changes:
            if self._begun:
                assert change.sequence > self._last, "in order, and once"
                self._last = change.sequence
            self._learn(change)
        if answer.snapshot_complete:
            self._begun = True
            self._last = self.world.sequence
        self.cursor = answer.cursor or self.cursor

    async def stop(self) -> None:
        """The server stops: the answer that is under way, if there is one, is lost, and a cursor is handed over."""
        if self.watch is not None:
            reading = asyncio.ensure_future(self.watch.next())
            await asyncio.sleep(0)
            self.cursor = self.watch.cursor
            reading.cancel()
            await asyncio.wait({reading})
            if not reading.cancelled():
                reading.exception()
        self.cut()

    def cut(self) -> None:
        """The connection is gone."""
        if self.watch is not None:
            self.watch.close()
            self.watch = None

    def _learn(self, change: pb.WatchResponse.Change) -> None:
        match change.WhichOneof("what"):
            case "entry":
                entry = change.entry
                self.things["entry", entry.key] = (entry.value, entry.task_id, entry.author)
            case "agent":
                agent = change.agent
                self.things["agent", agent.agent_id] = ("", agent.packet.task_id, agent.agent_id)
            case "message":
                self.unread[change.message.message_id] = set(change.unread_by)
                if self._begun:
                    self.messages.append(change.message.message_id)
            case "acknowledgement":
                for message_id in change.acknowledgement.message_ids:
                    self.unread.get(message_id, set()).discard(change.acknowledgement.agent_id)
            case other:
                raise AssertionError(f"nobody made {other}")


async def live(steps: list[tuple[str, int]], of: Interest = ALL) -> Reader:
    world = World()
    reader = Reader(world, of)
    await reader.read()
    sent: list[str] = []
    for n, (what, which) in enumerate(steps):
        match what:
            case "put":
                world.put(f"key-{which}", "" if n % 4 == 3 else str(n), n + 1, by=f"sre-{n % 3}")
            case "packet":
                world.packed(f"sre-{which}", f"task-{n % 3}")
            case "send":
                sent.append(f"m-{n}")
                message = Message(sent[-1], "task-1", "sre-1", "", "STATUS", "1", "", T0, recipients=READERS)
                world.happens("task-1", MessageSent(message))
            case "acknowledge":
                reads = INBOX.decide(
                    world.view.inboxes.get(("default", "task-1"), Inbox()),
                    AcknowledgeMessages("task-1", READERS[which], world.sequence, (), T0),
                )
                if reads is not None:
                    world.happens("task-1", reads)
            case "read":
                await reader.read()
            case "stop":
                await reader.stop()
            case _:
                reader.cut()
    for _ in range(4):
        await reader.read()
    reader.cut()
    assert world.watching.open == 0
    there = {("agent", name): ("", agent.task_id, name) for (_, name), agent in world.view.agents.items()}
    for board in world.view.boards.values():
        there |= {
            ("entry", each.key): (each.value, each.task_id, each.author) for each in board.entries.values()
        }
    assert belonging(reader.things, of) == belonging(there, of)
    if of != ALL:
        return reader
    inbox = world.view.inboxes.get(("default", "task-1"), Inbox())
    assert {each: who for each, who in reader.unread.items() if who} == dict(inbox.missing)
    if not reader.anew:
        assert reader.messages == sent
    return reader


def belonging(things: dict[tuple[str, str], tuple[str, str, str]], of: Interest) -> dict[Any, Any]:
    """Of `things` what the filter shows; of entries not those that have been taken off."""
    return {
        name: thing
        for name, thing in things.items()
        if of.wants(thing[1:2], thing[2:]) and (thing[0] or name[0] == "agent")
    }


FILTERS = [
    Interest("default", "task-1"),
    Interest("default", "", "sre-1"),
    Interest("default", "task-1", "sre-1"),
]


TAKEN_OFF_THEN_WRITTEN = [*[("put", 0)] * 5, ("put", 1), ("read", 0), ("put", 0), ("put", 0)]
"""What an agent took off, unread, another has written."""


@pytest.mark.parametrize("of", FILTERS, ids=["a task", "an agent", "an agent in a task"])
def test_what_goes_over_to_another_is_told_of_whatever_happens_to_it_then(of: Interest) -> None:
    @settings(max_examples=150, deadline=None)
    @given(STEPS)
    @example(TAKEN_OFF_THEN_WRITTEN)
    def lived(steps: list[tuple[str, int]]) -> None:
        assert asyncio.run(live(steps, of)).anew == 0

    lived()


@pytest.mark.parametrize("own", [128, 2], ids=["near", "far behind"])
def test_nothing_is_missed_and_nothing_told_twice(own: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watches, "_OWN", own)

    @settings(max_examples=300, deadline=None)
    @given(STEPS)
    def lived(steps: list[tuple[str, int]]) -> None:
        assert asyncio.run(live(steps)).anew == 0

    lived()


def test_who_is_too_far_behind_begins_anew_and_knows_everything_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lately.Lately.__init__, "__defaults__", (3, lately.MAX_BYTES))
    begun_anew = 0

    @settings(max_examples=300, deadline=None)
    @given(STEPS)
    def lived(steps: list[tuple[str, int]]) -> None:
        nonlocal begun_anew
        begun_anew += asyncio.run(live(steps)).anew

    lived()
    assert begun_anew, "nobody was ever too far behind: this tests nothing"
