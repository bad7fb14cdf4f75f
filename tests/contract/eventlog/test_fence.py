"""A log that is not the one it was takes nothing; a fence keeps everybody out but the one who repairs."""

import pytest

from chassis.eventlog.fence import fence, fenced, lift, write_through
from chassis.eventlog.follower import FollowerState
from chassis.eventlog.headers import raw_headers
from chassis.eventlog.jetstream import JetStreamLog
from chassis.eventlog.stream import ensure_stream, read_at
from kernel.events import Head
from kernel.faults import Unavailable
from tests.contract.eventlog.subject import JetStream
from tests.contract.eventlog.test_follow import Reader, following, write
from tests.contract.eventlog.words import CODEC, ONE, SOURCE, TWO, StringValue, cause, words
from tests.fakes.wait import until


async def appended(log: JetStreamLog, n: int) -> int:
    answer = await log.append(ONE, [StringValue(f"{n}")], after=Head(n - 1, n - 1), cause=cause(f"r{n}"))
    return answer.sequence


async def test_a_log_that_went_back_takes_nothing_from_who_knew_more_of_it(real: JetStream) -> None:
    await write(real, 1, 3)
    await real.remember()
    await write(real, 4, 3)
    await real.go_back()
    log = JetStreamLog(real.connection, CODEC, SOURCE, patience_seconds=1.0)
    for _ in range(2):
        with pytest.raises(Unavailable) as caught:
            await log.append(TWO, [StringValue("new")], after=Head(), cause=cause("new"))
        assert caught.value.reason == "STREAM_REGRESSION", caught.value.text
    assert "ends at 3, it once held 6" in caught.value.text
    assert await log.last_sequence() == 3


async def test_a_fenced_log_is_read_and_not_written(real: JetStream) -> None:
    await write(real, 1, 3)
    await fence(real.connection, "for a test")
    await fence(real.connection, "again")
    assert await fenced(real.connection) == "for a test"
    await ensure_stream(real.connection)  # a service that starts now can read
    log = JetStreamLog(real.connection, CODEC, SOURCE, patience_seconds=0.3)
    with pytest.raises(Unavailable):
        await appended(log, 4)
    reader = Reader()
    async with following(real, reader) as follower:
        await follower.reached(3)
        await lift(real.connection)
        await lift(real.connection)
        assert await fenced(real.connection) == ""
        assert await appended(log, 4) == 4
        await follower.reached(4)


async def test_a_follower_goes_on_when_the_log_was_repaired(real: JetStream) -> None:
    await write(real, 1, 3)
    await real.remember()
    await write(real, 4, 3)
    lost = [each for n in (4, 5, 6) if (each := await read_at(real.connection, n)) is not None]
    assert len(lost) == 3
    reader = Reader()
    async with following(real, reader) as follower:
        await follower.reached(6)
        await real.go_back()
        await until(lambda: follower.state is FollowerState.HALTED, "it never noticed", 20)
        await fence(real.connection, "for a test")
        for each in lost:
            written = await write_through(
                real.connection, each.subject, raw_headers(each), each.payload
            )  # guarded as it was then: Nats-Expected-Last-Subject-Sequence is one of its headers
            assert written == (each.sequence, "")
        again = await write_through(real.connection, lost[-1].subject, raw_headers(lost[-1]), b"")
        assert again[1], "written twice"
        await lift(real.connection)
        for each in lost:
            assert await read_at(real.connection, each.sequence) == each
        assert await appended(JetStreamLog(real.connection, CODEC, SOURCE), 7) == 7
        await until(lambda: follower.position == 7, "it does not go on", 20)
        assert follower.state is FollowerState.FOLLOWING
    assert words(reader.events)[-1] == "7"
    assert reader.sequences == [1, 2, 3, 4, 5, 6, 7]
