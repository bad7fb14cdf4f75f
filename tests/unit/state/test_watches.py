"""Watches over a view that is fed as the log would: what is there, what changes, and where each stands."""

import asyncio
from dataclasses import replace

import pytest

from provost.state.v1 import state_pb2 as pb
from services.state.domain import lately
from services.state.domain.attention import AgentWaits, Waiting, WaitingKind
from services.state.domain.board import Entry, EntryPut
from services.state.domain.checkpoints import Checkpoint, CheckpointSaved
from services.state.domain.faults import CursorExpired, CursorInvalid, TooManyWatches
from services.state.domain.inbox import Message, MessagesAcknowledged, MessageSent
from services.state.domain.lock import LockAcquired
from services.state.domain.packet import PacketIssued
from services.state.domain.task import HandoffWritten
from services.state.domain.view import View
from services.state.domain.watching import Interest, interest
from services.state.handlers import watching
from services.state.handlers.watches import PIECE_BYTES, Watch
from services.state.handlers.watching import Watching
from services.state.wire.watching import change_to_wire, end_to_wire
from tests.unit.state.worlds import T0, handoff, packet

ALL = Interest("default")


class World:
    """A log's worth of events, and a watching that follows it."""

    def __init__(self, heartbeat_seconds: float = 600.0) -> None:
        self.view = View()
        self.sequence = 0
        self.ends = 0
        self.watching = Watching(
            self.view,
            change_to_wire,
            end_to_wire,
            self._reached,
            self._end,
            heartbeat_seconds=heartbeat_seconds,
        )

    def happens(self, id: str, event: object, tenant: str = "default") -> int:
        self.sequence += 3
        self.view.take(tenant, id, event, self.sequence)  # type: ignore[arg-type]
        self.watching.take(tenant, id, event, self.sequence)
        return self.sequence

    def packed(self, agent_id: str, task_id: str = "task-1", tenant: str = "default") -> int:
        return self.happens(agent_id, PacketIssued(packet(task_id, agent_id), T0), tenant)

    def put(
        self, key: str, value: str = "1", version: int = 1, task_id: str = "task-1", by: str = "sre-1"
    ) -> int:
        entry = Entry(task_id, "progress", key, value, by, version, T0)
        return self.happens(task_id, EntryPut(entry), "default")

    async def _reached(self, sequence: int) -> None:
        assert sequence <= self.sequence

    async def _end(self) -> int:
        return max(self.ends, self.sequence)


async def told(watch: Watch) -> pb.WatchResponse:
    async with asyncio.timeout(5):
        return pb.WatchResponse.FromString(await watch.next())


def named(answer: pb.WatchResponse) -> list[tuple[int, str]]:
    """Each change as sequence and name."""
    found = []
    for change in answer.changes:
        kind = change.WhichOneof("what") or ""
        what = getattr(change, kind)
        found.append(
            (change.sequence, getattr(what, {"entry": "key", "message": "message_id"}.get(kind, "agent_id")))
        )
    return found


async def begun(world: World, of: Interest = ALL) -> tuple[Watch, pb.WatchResponse]:
    watch = await world.watching.watch(of, "")
    return watch, await told(watch)


async def test_a_watch_begins_with_what_is_there_and_goes_on_with_what_changes() -> None:
    world = World()
    world.packed("sre-1")
    world.put("disk", '"full"')
    world.put("gone", "")
    world.packed("sre-1", tenant="other")
    watch, first = await begun(world)
    assert first.snapshot_complete
    assert sorted(named(first)) == [(3, "sre-1"), (6, "disk")]
    world.put("disk", '"fuller"', 2)
    world.packed("dba-1")
    after = await told(watch)
    assert named(after) == [(15, "disk"), (18, "dba-1")]
    assert after.changes[0].entry.value == '"fuller"'
    assert after.changes[1].agent.packet.objective
    assert not after.snapshot_complete
    watch.close()


async def test_filters_show_their_task_or_agent_alone_and_who_leaves() -> None:
    world = World()
    for agent_id, task_id in (("sre-1", "task-1"), ("dba-1", "task-2")):
        world.packed(agent_id, task_id)
    of_task, first = await begun(world, interest("default", "task-1", ""))
    assert named(first) == [(3, "sre-1")]
    of_agent, first = await begun(world, interest("default", "", "dba-1"))
    assert named(first) == [(6, "dba-1")]
    both, first = await begun(world, interest("default", "task-1", "dba-1"))
    assert named(first) == []
    world.put("disk")
    assert named(await told(of_task)) == [(9, "disk")]
    world.packed("sre-1", "task-3")
    left = await told(of_task)
    assert (named(left), left.changes[0].agent.packet.task_id) == ([(12, "sre-1")], "task-3")
    world.packed("dba-1", "task-1")
    assert [named(await told(each)) for each in (of_agent, both, of_task)] == [[(15, "dba-1")]] * 3
    for each in (of_task, of_agent, both):
        each.close()
    assert world.watching.open == 0


async def test_who_leaves_is_told_of_though_it_goes_on_at_once_where_it_is_now() -> None:
    """The packet of another task, and the lock right behind it: the one takes the other's place, but not for all."""
    world = World()
    world.packed("sre-1")
    of_task, first = await begun(world, interest("default", "task-1", ""))
    everything, _ = await begun(world)
    world.packed("sre-1", "task-2")
    world.happens("sre-1", LockAcquired("sre-1", "task-2", "run-2", T0, T0))
    left = await told(of_task)
    assert (named(left), left.changes[0].agent.packet.task_id) == ([(6, "sre-1")], "task-2")
    assert named(await told(everything)) == [(9, "sre-1")], "once"
    again = await world.watching.watch(of_task.interest, first.cursor)
    assert named(await told(again)) == [(6, "sre-1")], "who comes back with a cursor is told of it, too"
    for each in (of_task, everything, again):
        each.close()


async def test_a_task_is_watched_with_the_agents_whose_runs_wait_there_while_they_work_elsewhere() -> None:
    world = World()
    world.packed("sre-1")
    of_task, first = await begun(world, interest("default", "task-1", ""))
    everything, _ = await begun(world)
    waits = AgentWaits("sre-1", "task-1", "run-1", Waiting(WaitingKind.APPROVAL, "approval-1", T0), T0)
    world.happens("sre-1", waits)
    world.packed("sre-1", "task-2")
    world.happens("sre-1", LockAcquired("sre-1", "task-2", "run-2", T0, T0))
    answer = await told(of_task)
    assert named(answer) == [(12, "sre-1")], "it has not left"
    assert [each.run_id for each in answer.changes[0].agent.waiting_runs] == ["run-1"]
    again, shown = await begun(world, of_task.interest)
    assert named(shown) == [(12, "sre-1")], "and is there to begin with"
    world.happens("sre-1", replace(waits, waiting=None))
    for watch in (of_task, again):
        left = await told(watch)
        assert (named(left), list(left.changes[0].agent.waiting_runs)) == ([(15, "sre-1")], [])
    world.happens("sre-1", LockAcquired("sre-1", "task-2", "run-3", T0, T0))
    resumed = await world.watching.watch(of_task.interest, first.cursor)
    assert named(await told(resumed)) == [(15, "sre-1")], "what it does then concerns them no more"
    assert named(await told(everything)) == [(18, "sre-1")], "once"
    for watch in (of_task, everything, again, resumed):
        watch.close()


@pytest.mark.parametrize("seen_before", [False, True], ids=["from the log", "from a snapshot"])
async def test_what_another_agent_writes_over_is_told_to_who_watches_the_first(seen_before: bool) -> None:
    world = World()
    entry = EntryPut(Entry("task-1", "progress", "disk", '"full"', "sre-1", 1, T0))
    saved = Checkpoint("run-1", 1, "task-1", "sre-1", "PLAN", "", "", "", T0, ())
    left = handoff()
    events = (("task-1", entry), ("run-1", CheckpointSaved(saved)), ("task-1", HandoffWritten(left, T0)))
    for where, event in events:
        if seen_before:
            world.sequence += 3
            world.view.take("default", where, event, world.sequence)
        else:
            world.happens(where, event)
    watch, first = await begun(world, interest("default", "", "sre-1"))
    assert len(first.changes) == 3
    world.put("disk", '"fuller"', 2, by="sre-2")
    world.put("disk", '"fullest"', 3, by="sre-2")
    world.happens("run-1", CheckpointSaved(replace(saved, number=2, agent_id="sre-2")))
    world.happens("task-1", HandoffWritten(replace(left, previous_agent_id="sre-2"), T0))
    after = await told(watch)
    assert [each.WhichOneof("what") for each in after.changes] == ["entry", "checkpoint", "handoff"]
    assert (after.changes[0].entry.value, after.changes[0].entry.author) == ('"fuller"', "sre-2")
    assert (await begun(world, watch.interest))[1].changes == [], "as a new snapshot has it"


async def test_who_reads_slowly_is_told_the_latest_of_each_thing_and_misses_none() -> None:
    world = World()
    watch, _ = await begun(world)
    for version in range(1, 50):
        world.put("disk", str(version), version)
    world.put("memory")
    answer = await told(watch)
    assert named(answer) == [(147, "disk"), (150, "memory")]
    assert answer.changes[0].entry.value == "49"
    watch.close()


async def test_a_message_is_told_though_everybody_has_acknowledged_it_meanwhile() -> None:
    world = World()
    watch, first = await begun(world)
    sent = Message("m-1", "task-1", "sre-1", "", "STATUS", "1", "", T0, recipients=("dba-1",))
    world.happens("task-1", MessageSent(sent))
    world.happens("task-1", MessagesAcknowledged("task-1", "dba-1", 3, ("m-1",), T0))
    assert not world.view.inboxes["default", "task-1"].waiting
    answer = await told(watch)
    assert named(answer) == [(3, "m-1"), (6, "dba-1")]
    assert list(answer.changes[0].unread_by) == ["dba-1"]
    assert list(answer.changes[1].acknowledgement.message_ids) == ["m-1"]
    watch.close()
    again = await world.watching.watch(ALL, first.cursor)
    assert named(await told(again)) == [(3, "m-1"), (6, "dba-1")]
    again.close()


@pytest.mark.parametrize("who", ["sre-1", "dba-1", "dba-2", "waits", "key-boss"])
async def test_whoever_a_message_is_between_is_told_who_has_read_it(who: str) -> None:
    world = World()
    for agent_id in ("sre-1", "dba-1", "dba-2"):
        world.happens(agent_id, LockAcquired(agent_id, "task-1", f"run-{agent_id}", T0, T0))
    for name, sender in (("m-1", "sre-1"), ("m-2", "key-boss")):
        sent = Message(
            name, "task-1", sender, "", "STATUS", "1", "", T0, recipients=("dba-1", "dba-2", "waits")
        )
        world.happens("task-1", MessageSent(sent))
    world.happens("task-1", MessagesAcknowledged("task-1", "dba-1", 9, ("m-1", "m-2"), T0))
    watch, first = await begun(world, Interest("default", "", who))
    mail = {each.message.message_id: list(each.unread_by) for each in first.changes if each.unread_by}
    assert mail == {name: ["dba-2", "waits"] for name in mail}
    assert mail
    world.happens("task-1", MessagesAcknowledged("task-1", "dba-2", 9, ("m-1", "m-2"), T0))
    (read,) = (await told(watch)).changes
    assert (read.acknowledgement.agent_id, set(mail) <= set(read.acknowledgement.message_ids)) == (
        "dba-2",
        True,
    )
    watch.close()


async def test_a_cursor_goes_on_with_every_change_since_once_and_in_order() -> None:
    world = World()
    watch, first = await begun(world)
    watch.close()
    for n in range(20):
        world.put(f"key-{n % 7}", str(n), n // 7 + 1)
    seen: list[tuple[int, str]] = []
    cursor = first.cursor
    for more in range(3):
        watch = await world.watching.watch(ALL, cursor)
        answer = await told(watch)
        seen += named(answer)
        cursor = answer.cursor
        watch.close()
        world.put(f"later-{more}")
    assert [sequence for sequence, _ in seen] == sorted({sequence for sequence, _ in seen})
    assert [key for _, key in seen] == [*(f"key-{n % 7}" for n in range(13, 20)), "later-0", "later-1"]


async def test_with_nothing_new_a_cursor_is_answered_at_once_with_a_newer_one() -> None:
    world = World()
    watch, first = await begun(world)
    watch.close()
    world.packed("sre-1", tenant="other")
    watch = await world.watching.watch(ALL, first.cursor)
    sign = await told(watch)
    assert (list(sign.changes), sign.snapshot_complete) == ([], False)
    assert sign.cursor != first.cursor
    watch.close()


async def test_much_is_told_in_pieces_each_with_a_cursor_to_go_on_from() -> None:
    world = World()
    watch, first = await begun(world)
    watch.close()
    for n in range(10):
        world.put(f"key-{n}", f'"{"x" * 40_000}"')
    seen: list[int] = []
    cursor = first.cursor
    while len(seen) < 10:
        watch = await world.watching.watch(ALL, cursor)
        answer = await told(watch)
        assert answer.ByteSize() < PIECE_BYTES + 70_000
        seen += [change.sequence for change in answer.changes]
        cursor = answer.cursor
        watch.close()
    assert seen == sorted(set(seen))
    snapshot = await world.watching.watch(ALL, "")
    pieces = [await told(snapshot)]
    assert snapshot.cursor == ""
    world.put("key-9", "2", 2)  # after the moment that is shown
    while not pieces[-1].snapshot_complete:
        assert not pieces[-1].cursor
        pieces.append(await told(snapshot))
    assert len(pieces) > 2
    assert [len(change.entry.value) for piece in pieces for change in piece.changes] == [40_002] * 10
    after = await told(snapshot)
    assert (named(after), after.changes[0].entry.value) == ([(33, "key-9")], "2")
    snapshot.close()


async def test_a_cursor_of_what_has_been_let_go_expires_and_so_does_a_reader_that_far_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lately.Lately.__init__, "__defaults__", (5, lately.MAX_BYTES))
    world = World()
    watch, first = await begun(world)
    quiet, _ = await begun(world, interest("default", "task-9", ""))
    waiting = asyncio.create_task(told(quiet))
    await asyncio.sleep(0)
    for n in range(8):
        world.put(f"key-{n}")
    with pytest.raises(CursorExpired):
        await world.watching.watch(ALL, first.cursor)
    with pytest.raises(CursorExpired):
        await told(watch)
    world.put("key", task_id="task-9")  # it was told of everything all the time: there was nothing
    assert named(await waiting) == [(27, "key")]
    watch.close()
    quiet.close()


async def test_a_view_that_was_there_before_can_be_shown_but_not_what_led_to_it() -> None:
    old = World()
    old.packed("sre-1")
    cursor = (await begun(old))[1].cursor
    old.packed("dba-1")
    world = World()
    world.view, world.watching.view, world.sequence = old.view, old.view, old.sequence
    watch, first = await begun(world)
    assert sorted(named(first)) == [(3, "sre-1"), (6, "dba-1")]
    watch.close()
    with pytest.raises(CursorExpired):
        await world.watching.watch(ALL, cursor)
    resumed = await world.watching.watch(ALL, first.cursor)
    assert not (await told(resumed)).changes
    resumed.close()


async def test_a_cursor_from_a_replica_that_is_ahead_is_waited_for_and_one_from_nowhere_refused() -> None:
    ahead, world = World(), World()
    for each in (ahead, world):
        each.packed("sre-1")
    ahead.packed("dba-1")
    _, first = await begun(ahead)

    async def reached(sequence: int) -> None:
        world.packed("dba-1")

    world.watching._reached = reached
    with pytest.raises(CursorInvalid):
        await world.watching.watch(ALL, first.cursor)
    world.ends = ahead.sequence
    watch = await world.watching.watch(ALL, first.cursor)
    assert not (await told(watch)).changes
    watch.close()


async def test_watches_alike_are_told_the_very_same_bytes() -> None:
    world = World()
    world.packed("sre-1")
    watches = [await world.watching.watch(ALL, "") for _ in range(3)]
    assert len({id(await each.next()) for each in watches}) == 1
    world.packed("dba-1")
    assert len({id(await each.next()) for each in watches}) == 1
    for each in watches:
        each.close()


async def test_a_watch_that_has_nothing_to_tell_gives_signs_of_life_with_newer_cursors() -> None:
    world = World(heartbeat_seconds=0.05)
    watch, first = await begun(world)
    world.packed("sre-1", tenant="other")
    sign = await told(watch)
    assert not sign.changes
    assert sign.cursor != first.cursor
    assert watch.cursor == sign.cursor
    watch.close()


async def test_a_waiting_watch_hands_out_a_cursor_behind_all_that_has_come() -> None:
    world = World()
    watch, _ = await begun(world)
    waiting = asyncio.create_task(watch.next())
    await asyncio.sleep(0)
    world.packed("sre-1", tenant="other")
    cursor = watch.cursor
    waiting.cancel()
    await asyncio.wait({waiting})
    watch.close()
    world.put("disk")
    again = await world.watching.watch(ALL, cursor)
    assert named(await told(again)) == [(6, "disk")]
    again.close()


async def test_there_are_only_so_many_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "MAX_WATCHES", 2)
    world = World()
    one, other = await world.watching.watch(ALL, ""), await world.watching.watch(ALL, "")
    with pytest.raises(TooManyWatches):
        await world.watching.watch(ALL, "")
    one.close()
    one.close()
    assert world.watching.open == 1
    (await world.watching.watch(ALL, "")).close()
    other.close()


def test_an_event_told_twice_changes_nothing() -> None:
    world = World()
    event = EntryPut(Entry("task-1", "progress", "disk", "1", "sre-1", 1, T0))
    world.watching.take("default", "task-1", event, 5)
    world.watching.take("default", "task-1", replace(event), 5)
    assert [each.sequence for each in world.watching.changes("default")] == [5]
