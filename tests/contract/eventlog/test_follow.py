"""Following the log: in order, without a gap, each event once; for both adapters."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from chassis import metrics
from chassis.eventlog.codec import Unreadable
from chassis.eventlog.follower import TRIES, Follower, FollowerState
from chassis.eventlog.headers import raw_headers
from kernel.events import Head, Recorded
from kernel.faults import Unavailable
from tests.contract.eventlog.conftest import IN_BURSTS
from tests.contract.eventlog.subject import Subject
from tests.contract.eventlog.words import CODEC, ONE, TWO, Int64Value, StringValue, cause, words
from tests.fakes.wait import until

EVERYTHING = ("evt.>",)
pytestmark = pytest.mark.parametrize("subject", ["memory", "jetstream", IN_BURSTS], indirect=True)


class Reader:
    """What a follower delivered."""

    def __init__(self) -> None:
        self.events: list[Recorded] = []
        self.largest = 0
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()

    async def take(self, events: Sequence[Recorded]) -> None:
        await self.may_go_on.wait()
        self.events += events
        self.largest = max(self.largest, len(events))

    @property
    def sequences(self) -> list[int]:
        return [each.sequence for each in self.events]


@asynccontextmanager
async def following(
    subject: Subject, reader: Reader, filters: Sequence[str] = EVERYTHING, after: int = 0
) -> AsyncIterator[Follower]:
    follower = Follower(
        subject.source, filters, after, reader.take, "test", gather_seconds=subject.gather_seconds
    )
    await follower.start()
    yield follower
    await follower.stop()


async def write(subject: Subject, first: int, count: int) -> None:
    """`count` events behind the first ones of ONE, numbered on."""
    for n in range(first, first + count):
        await subject.log.append(ONE, [StringValue(f"{n}")], after=Head(n - 1, n - 1), cause=cause(f"r{n}"))


async def test_one_that_has_ended_is_not_shown_as_one_that_is_behind(subject: Subject) -> None:
    async with following(subject, Reader()):
        assert "test" in metrics.positions()
    assert "test" not in metrics.positions()


async def test_what_is_there_comes_first_and_then_what_is_new(subject: Subject) -> None:
    await write(subject, 1, 3)
    reader = Reader()
    async with following(subject, reader) as follower:
        await follower.caught_up()
        assert words(reader.events) == ["1", "2", "3"]
        await write(subject, 4, 2)
        await follower.reached(5)
        assert words(reader.events) == ["1", "2", "3", "4", "5"]
        assert (follower.position, follower.state) == (5, FollowerState.FOLLOWING)
        assert follower.stale_seconds < 5
        assert reader.events == list(await subject.log.load(ONE))


async def test_an_empty_log_is_caught_up_with_at_once(subject: Subject) -> None:
    async with following(subject, Reader()) as follower:
        await follower.caught_up(timeout_seconds=2)
        assert (follower.position, follower.lag) == (0, 0)


async def test_it_begins_behind_where_it_is_told(subject: Subject) -> None:
    await write(subject, 1, 5)
    reader = Reader()
    async with following(subject, reader, after=3) as follower:
        await follower.reached(5)
    assert reader.sequences == [4, 5]
    async with following(subject, Reader(), after=5) as follower:
        await follower.caught_up()
        assert follower.position == 5


async def test_filters_choose_and_position_passes_what_they_leave_out(subject: Subject) -> None:
    reader = Reader()
    async with following(
        subject, reader, ("evt.*.policy.agent.two.>", "evt.*.*.*.*.Int64Value", "evt.acme.policy.agent.two.*")
    ) as follower:
        await write(subject, 1, 3)
        await subject.log.append(TWO, [StringValue("x")], after=Head(), cause=cause("r"))
        await subject.log.append(ONE, [Int64Value(5)], after=Head(3, 3), cause=cause("r"))
        last = await subject.log.append(ONE, [StringValue("y")], after=Head(5, 4), cause=cause("s"))
        await follower.reached(last.sequence, timeout_seconds=2)
        assert words(reader.events) == ["x", 5]
        assert follower.position == 6


async def test_what_is_not_there_yet_is_not_reached(subject: Subject) -> None:
    async with following(subject, Reader()) as follower:
        with pytest.raises(Unavailable) as caught:
            await follower.reached(1, timeout_seconds=0.05)
    assert caught.value.reason == "FOLLOWER_BEHIND"


async def test_it_goes_on_where_it_was_when_it_loses_what_it_read_from(subject: Subject) -> None:
    reader = Reader()
    async with following(subject, reader) as follower:
        for n in range(3):
            await write(subject, 1 + 10 * n, 10)
            await subject.break_feeds()
        await write(subject, 31, 10)
        await follower.reached(40, timeout_seconds=15)
    assert reader.sequences == list(range(1, 41))


async def test_a_slow_reader_loses_nothing_and_holds_no_more_than_it_can_take(subject: Subject) -> None:
    reader = Reader()
    reader.may_go_on.clear()
    async with following(subject, reader) as follower:
        several = [StringValue(f"{n}") for n in range(500)]
        for n in range(5):
            await subject.log.append(ONE, several, after=Head(500 * n, 500 * n), cause=cause(f"r{n}"))
        assert (reader.events, follower.position) == ([], 0)
        reader.may_go_on.set()
        await follower.reached(2500)
    assert reader.sequences == list(range(1, 2501))
    assert reader.largest <= 500


async def test_a_message_no_one_can_read_comes_as_it_is(subject: Subject) -> None:
    lines = "ce-type: google.protobuf.StringValue\r\nce-id: 1\r\n"
    place = "evt.acme.policy.agent.one"
    damaged = await subject.put(f"{place}.StringValue", b"\xff\xff\xff", lines)
    unknown = await subject.put(f"{place}.Strange", b"", "ce-type: acme.Strange\r\n")
    misplaced = await subject.put(f"{place}.Int64Value", b"", lines)
    await subject.log.append(ONE, [StringValue("a")], after=Head(misplaced, 3), cause=cause("r"))
    reader = Reader()
    async with following(subject, reader) as follower:
        await follower.reached(4)
    assert reader.sequences == [damaged, unknown, misplaced, 4]
    assert reader.events[0].payload == b"\xff\xff\xff"
    assert raw_headers(reader.events[0]) == f"NATS/1.0\r\n{lines}\r\n".encode()
    for each in reader.events[:3]:
        with pytest.raises(Unreadable) as caught:
            CODEC.decode(each)
        assert caught.value.reason == "UNREADABLE_EVENT"
    assert words(reader.events[3:]) == ["a"]


async def test_a_delivery_that_fails_is_tried_again_with_the_same_events(subject: Subject) -> None:
    await write(subject, 1, 3)
    tries: list[list[int]] = []

    async def take(events: Sequence[Recorded]) -> None:
        tries.append([each.sequence for each in events])
        if len(tries) < TRIES:
            raise RuntimeError("not yet")

    follower = Follower(subject.source, EVERYTHING, 0, take, "test", gather_seconds=subject.gather_seconds)
    await follower.start()
    await follower.reached(3)
    await follower.stop()
    assert tries == [tries[0]] * TRIES
    assert follower.state is FollowerState.STOPPED


async def test_a_delivery_that_never_succeeds_halts_it(subject: Subject) -> None:
    await write(subject, 1, 1)
    tries = 0

    async def take(events: Sequence[Recorded]) -> None:
        nonlocal tries
        tries += 1
        raise RuntimeError("never")

    follower = Follower(subject.source, EVERYTHING, 0, take, "test", gather_seconds=subject.gather_seconds)
    await follower.start()
    with pytest.raises(Unavailable) as caught:
        await follower.reached(1, timeout_seconds=10)
    assert (caught.value.reason, follower.state) == ("FOLLOWER_HALTED", FollowerState.HALTED)
    assert (follower.halt_reason, follower.position, tries) == ("DELIVERY_FAILED", 0, TRIES)
    await follower.stop()
    assert follower.state is FollowerState.HALTED


async def test_a_log_that_went_back_halts_it(subject: Subject) -> None:
    await write(subject, 1, 3)
    await subject.remember()
    await write(subject, 4, 3)
    reader = Reader()
    async with following(subject, reader) as follower:
        await follower.reached(6)
        await subject.go_back()
        await until(lambda: follower.state is FollowerState.HALTED, "it never noticed", 20)
        assert follower.halt_reason == "STREAM_REGRESSION"
    assert reader.sequences == [1, 2, 3, 4, 5, 6]


async def test_a_log_that_went_back_and_grew_again_halts_it(subject: Subject) -> None:
    await write(subject, 1, 3)
    await subject.remember()
    await write(subject, 4, 3)
    reader = Reader()
    async with following(subject, reader) as follower:
        await follower.reached(6)
        await follower.stop()
        await subject.go_back()
        for n in range(4, 10):
            after = Head(n - 1, n - 1)
            await subject.other.append(ONE, [StringValue(f"new {n}")], after=after, cause=cause(f"new{n}"))
        # It remembers what it read last, not only how far it came.
        await follower.start()
        await until(lambda: follower.state is FollowerState.HALTED, "it never noticed", 20)
        assert follower.halt_reason == "STREAM_REGRESSION"
    assert reader.sequences == [1, 2, 3, 4, 5, 6]
