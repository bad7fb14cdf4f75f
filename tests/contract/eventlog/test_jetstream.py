"""What only the real log can get wrong: servers that go away, consumers that vanish, events lost on the way."""

import asyncio
import json
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from chassis.eventlog.api import call
from chassis.eventlog.connection import connect
from chassis.eventlog.consumer import BATCH, JetStreamFeed
from chassis.eventlog.follower import Follower, FollowerState
from chassis.eventlog.headers import REPUBLISHED, raw_headers
from chassis.eventlog.jetstream import CONFLICTS, JetStreamLog, refusal
from chassis.eventlog.stream import EVENTS, ensure_stream, read_at, stream_state
from chassis.eventlog.wire import Connection, Sink
from kernel.events import Head, Recorded
from kernel.faults import AppendConflict, Exhausted, Refused, Unavailable
from tests.contract.eventlog.subject import JetStream
from tests.contract.eventlog.test_follow import Reader, following, write
from tests.contract.eventlog.words import CODEC, ONE, SOURCE, TWO, StringValue, cause, words
from tests.fakes.nats_server import NatsServer
from tests.fakes.process import free_port
from tests.fakes.wait import until


async def test_killed_again_and_again_under_load_it_loses_and_repeats_nothing(real: JetStream) -> None:
    reader = Reader()
    acknowledged: list[int] = []
    done = asyncio.Event()

    async def writer() -> None:
        head = Head()
        while not done.is_set():
            n = head.version + 1
            try:
                appended = await real.log.append(ONE, [StringValue(f"{n}")], after=head, cause=cause(f"r{n}"))
            except Unavailable:
                continue
            head = Head(appended.sequence, n)
            acknowledged.append(appended.sequence)

    async with following(real, reader) as follower:
        writing = asyncio.create_task(writer())
        for round_ in range(3):
            await until(lambda: len(acknowledged) > 50 * (round_ + 1), "nothing is written")  # noqa: B023
            real.server.kill()
            real.server.start()
        await until(lambda: len(acknowledged) > 250, "nothing is written after the last restart")
        done.set()
        await writing
        await follower.reached(acknowledged[-1])
    assert reader.sequences == list(range(1, acknowledged[-1] + 1))
    assert acknowledged == reader.sequences
    assert words(reader.events) == [f"{n}" for n in acknowledged]


async def test_a_server_that_stands_still_is_waited_for(real: JetStream) -> None:
    real.server.pause()
    late = asyncio.create_task(real.log.append(ONE, [StringValue("a")], after=Head(), cause=cause("r1")))
    done, _ = await asyncio.wait({late}, timeout=0.2)
    assert not done
    real.server.resume()
    assert (await late).sequence == 1
    assert words(await real.log.load(ONE)) == ["a"]


async def test_a_consumer_that_vanishes_is_made_anew(real: JetStream) -> None:
    reader = Reader()
    async with following(real, reader) as follower:
        await write(real, 1, 3)
        await follower.reached(3)
        names = await call(real.connection, f"CONSUMER.NAMES.{EVENTS}")
        (consumer,) = names["consumers"]
        await call(real.connection, f"CONSUMER.DELETE.{EVENTS}.{consumer}")
        await write(real, 4, 3)
        await follower.reached(6)
    assert reader.sequences == [1, 2, 3, 4, 5, 6]

    async def none_left() -> bool:
        return not (await call(real.connection, f"CONSUMER.NAMES.{EVENTS}"))["consumers"]

    await until(none_left, "a follower that has ended leaves a consumer behind")


@pytest.mark.parametrize("lost", [1, 2, 5])
async def test_an_event_lost_on_the_way_is_fetched_again(real: JetStream, lost: int) -> None:
    """The last of them, too: it is missed by the next heartbeat."""
    reader = Reader()
    async with following(real, reader) as follower:
        await follower.caught_up()
        _lose_once(real.connection, lost)
        await write(real, 1, 5)
        await follower.reached(5)
    assert reader.sequences == [1, 2, 3, 4, 5]


def _lose_once(connection: Connection, sequence: int) -> None:
    """The event with this sequence does not arrive, the first time."""
    (sid, sink) = next((sid, sink) for sid, sink in connection._sinks.items() if sink != connection._answered)

    def losing(subject: bytes, reply: bytes, payload: bytes, header: bytes | None) -> None:
        tokens = reply.split(b".")
        if len(tokens) < 9 or int(tokens[5]) != sequence:
            sink(subject, reply, payload, header)

    wrapped: Sink = losing
    connection._sinks[sid] = wrapped


async def test_an_event_that_is_really_gone_halts_it(real: JetStream) -> None:
    await _unguarded(real.connection)
    await write(real, 1, 6)
    await call(real.connection, f"STREAM.MSG.DELETE.{EVENTS}", {"seq": 4})
    reader = Reader()
    async with following(real, reader) as follower:
        await until(lambda: follower.state is FollowerState.HALTED, "it went past the hole")
        assert follower.halt_reason == "GAP"
        with pytest.raises(Unavailable, match="GAP"):
            await follower.reached(6)
    assert reader.sequences == [1, 2, 3]


async def test_a_log_whose_beginning_is_gone_halts_whoever_was_not_past_it(real: JetStream) -> None:
    await _unguarded(real.connection)
    await write(real, 1, 6)
    await call(real.connection, f"STREAM.PURGE.{EVENTS}", {"seq": 5})
    reader = Reader()
    async with following(real, reader, after=2) as follower:
        await until(lambda: follower.state is FollowerState.HALTED, "it went past the hole")
        assert follower.halt_reason == "GAP"
    assert reader.events == []


@pytest.mark.parametrize(
    "part", [b"\xe2\x82", b"\xf0\x9f\x98", b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xe2\x82\xac"]
)
async def test_an_event_has_one_subject_however_it_is_read(real: JetStream, part: bytes) -> None:
    """A follower that reads on behind a lost connection asks whether the last event is the one it read."""
    _, server = await asyncio.open_connection("127.0.0.1", real.server.port)
    server.write(b'CONNECT {"verbose":false}\r\nPUB evt.acme.state.task.%b.Strange 0\r\n\r\n' % part)
    reader = Reader()
    async with following(real, reader) as follower:
        await until(lambda: bool(reader.events), "the server has not taken it")
        server.close()
        assert await read_at(real.connection, 1) == reader.events[0]
        await real.break_feeds()
        await write(real, 1, 1)
        await follower.reached(2)


async def _unguarded(connection: Connection) -> None:
    """A log as ours never is: one from which events can be deleted."""
    await call(connection, f"STREAM.DELETE.{EVENTS}")
    config = {"name": EVENTS, "subjects": ["evt.>"], "storage": "file", "allow_direct": True}
    await call(connection, f"STREAM.CREATE.{EVENTS}", config)


async def test_a_reader_that_stands_still_holds_two_batches_at_most(real: JetStream) -> None:
    several = [StringValue(f"{n}") for n in range(BATCH)]
    for n in range(6):
        after = Head(BATCH * n, BATCH * n)
        await real.log.append(ONE, several, after=after, cause=cause(f"r{n}"))
    feed = JetStreamFeed(real.connection, ("evt.>",), 0)
    await feed.start()
    first = await feed.next()
    await until(lambda: len(feed._events) + len(first.events) == 2 * BATCH, "two batches never came")
    assert feed._outstanding == 0
    second = await feed.next()
    assert [each.sequence for each in first.events + second.events] == list(
        range(1, len(first.events) + len(second.events) + 1)
    )
    await feed.close()


async def test_what_comes_meanwhile_is_held_back_and_comes_together(real: JetStream) -> None:
    deliveries: list[list[int]] = []

    async def take(events: Sequence[Recorded]) -> None:
        deliveries.append([each.sequence for each in events])

    follower = Follower(real.source, ("evt.>",), 0, take, "test", gather_seconds=60.0)
    await follower.start()
    await follower.caught_up()
    await write(real, 1, 1)
    await until(lambda: deliveries == [[1]], "the first one never came")
    await write(real, 2, 20)
    # What is acknowledged this very moment the server may hand out by itself.
    assert sum(map(len, deliveries)) <= 2, "they are not held back"
    await follower.reached(21)  # somebody waits for it: now it comes
    assert [each for delivery in deliveries for each in delivery] == list(range(1, 22))
    assert len(deliveries) <= 3, "they came one by one"
    await follower.stop()


async def test_what_somebody_waits_for_is_not_held_back(real: JetStream) -> None:
    reader = Reader()
    follower = Follower(real.source, ("evt.>",), 0, reader.take, "test", gather_seconds=60.0)
    await follower.start()
    await follower.caught_up()
    for n in range(1, 6):
        await write(real, n, 1)
        await follower.reached(n)
    assert reader.sequences == [1, 2, 3, 4, 5]
    await follower.stop()


async def test_far_behind_nothing_is_held_back(real: JetStream) -> None:
    several = [StringValue(f"{n}") for n in range(BATCH)]
    for n in range(5):
        await real.log.append(ONE, several, after=Head(BATCH * n, BATCH * n), cause=cause(f"r{n}"))
    reader = Reader()
    follower = Follower(real.source, ("evt.>",), 0, reader.take, "test", gather_seconds=60.0)
    await follower.start()
    await follower.reached(5 * BATCH)
    assert reader.sequences == list(range(1, 5 * BATCH + 1))
    await follower.stop()


async def test_the_stream_keeps_everything_for_ever(events: Connection) -> None:
    await JetStreamLog(events, CODEC, SOURCE).append(ONE, [StringValue("a")], after=Head(), cause=cause("r1"))
    config = (await call(events, f"STREAM.INFO.{EVENTS}"))["config"]
    assert (config["storage"], config["discard"], config["max_age"]) == ("file", "new", 0)
    assert config["duplicate_window"] == 300 * 10**9
    purge = await call(events, f"STREAM.PURGE.{EVENTS}")
    delete = await call(events, f"STREAM.MSG.DELETE.{EVENTS}", {"seq": 1})
    assert (purge["error"]["err_code"], delete["error"]["err_code"]) == (10110, 10057)
    await ensure_stream(events, max_bytes=512 * 1024**2)
    config = (await call(events, f"STREAM.INFO.{EVENTS}"))["config"]
    assert (config["max_bytes"], config["deny_purge"]) == (512 * 1024**2, True)
    await ensure_stream(events)
    assert (await call(events, f"STREAM.INFO.{EVENTS}"))["config"]["max_bytes"] == 512 * 1024**2
    assert (await stream_state(events)).last == 1


async def test_a_stream_that_could_forget_is_refused(events: Connection) -> None:
    await _unguarded(events)
    with pytest.raises(Refused, match="deny_delete, deny_purge"):
        await ensure_stream(events)


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_msgs_per_subject": 1},
        {"allow_msg_ttl": True},
        {"max_msg_size": 1000},
        {"max_consumers": 1},
        {"no_ack": True},
        {"sources": [{"name": "OTHER"}]},
        {"republish": {"src": "evt.>", "dest": "told.>"}},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
async def test_a_stream_with_settings_that_ours_never_has_is_refused(
    events: Connection, wrong: dict[str, Any]
) -> None:
    config = (await call(events, f"STREAM.INFO.{EVENTS}"))["config"]
    await call(events, f"STREAM.DELETE.{EVENTS}")
    assert "error" not in await call(events, f"STREAM.CREATE.{EVENTS}", config | wrong)
    with pytest.raises(Refused, match=f"with other {next(iter(wrong))}:"):
        await ensure_stream(events)


async def test_a_log_larger_than_the_disk_is_refused(events: Connection) -> None:
    await call(events, f"STREAM.DELETE.{EVENTS}")
    with pytest.raises(Exhausted) as caught:
        await ensure_stream(events, max_bytes=2**60)
    assert caught.value.reason == "LOG_FULL"


@pytest.mark.parametrize("code", [10071, 10164])
async def test_both_refusals_by_sequence_are_conflicts(events: Connection, code: int) -> None:
    """10164 is what a cluster says of two writes in flight; one server never does."""

    async def refusing(subject: str, payload: bytes = b"", **rest: Any) -> tuple[bytes | None, bytes]:
        if not subject.startswith("evt."):
            return await ask(subject, payload, **rest)
        return None, json.dumps({"error": {"code": 400, "err_code": code, "description": "no"}}).encode()

    log = JetStreamLog(events, CODEC, SOURCE, patience_seconds=0.3)
    await log.append(ONE, [StringValue("a")], after=Head(), cause=cause("r1"))
    ask = events.ask
    events.ask = refusing  # type: ignore[method-assign]
    with pytest.raises(AppendConflict):
        await log.append(ONE, [StringValue("b")], after=Head(), cause=cause("r2"))
    with pytest.raises(Unavailable):
        # Nobody has moved past 1: it is an earlier try of ours that stands in the way, and its end is not known.
        await log.append(ONE, [StringValue("b")], after=Head(1, 1), cause=cause("r2"))
    assert code in CONFLICTS


@pytest.mark.parametrize(
    ("code", "err_code", "text", "kind", "reason"),
    [
        (503, 10077, "maximum bytes exceeded", Exhausted, "LOG_FULL"),
        (503, 10077, "write: no space left on device", Exhausted, "LOG_FULL"),
        (400, 10054, "message size exceeds maximum allowed", Exhausted, "MESSAGE_TOO_LARGE"),
        (400, 10199, "atomic publish batch is too large", Exhausted, "MESSAGE_TOO_LARGE"),
        (400, 10060, "expected stream does not match", Unavailable, "LOG_UNREACHABLE"),
        (503, 10077, "input/output error", Unavailable, "LOG_UNREACHABLE"),
    ],
)
def test_refusals_become_faults(code: int, err_code: int, text: str, kind: type, reason: str) -> None:
    fault = refusal({"code": code, "err_code": err_code, "description": text})
    assert isinstance(fault, kind)
    assert getattr(fault, "reason", "") == reason


@pytest.mark.parametrize(("code", "err_code"), [(503, 10008), (409, 10158), (400, 10176), (503, 10009)])
def test_some_refusals_are_tried_again(code: int, err_code: int) -> None:
    assert refusal({"code": code, "err_code": err_code, "description": ""}) is None


async def test_nobody_there_is_said_with_the_address_and_without_the_password() -> None:
    port = free_port()
    with pytest.raises(Unavailable) as caught:
        await connect(f"nats://state:hunter2@127.0.0.1:{port}", name="test", timeout_seconds=0.3)
    assert f"127.0.0.1:{port}" in caught.value.text
    assert "hunter2" not in caught.value.text


async def test_wrong_credentials_are_said_at_once(tmp_path: Path) -> None:
    server = NatsServer(tmp_path, extra='authorization { user: "state", password: "right" }')
    server.start()
    try:
        with pytest.raises(Unavailable, match="Authorization") as caught:
            await connect(server.url, name="test", user="state", password="wrong", timeout_seconds=20)
        assert "wrong" not in caught.value.text
        connection = await connect(server.url, name="test", user="state", password="right")
        assert (await call(connection, "STREAM.NAMES"))["streams"] is None
        await connection.close()
    finally:
        server.stop()


async def test_a_server_that_comes_late_is_waited_for(tmp_path: Path) -> None:
    server = NatsServer(tmp_path)
    connecting = asyncio.create_task(connect(server.url, name="test"))
    await asyncio.sleep(0)
    server.start()
    connection = await connecting
    assert connection.is_connected
    await connection.close()
    server.stop()


async def test_nothing_is_said_in_the_clear_when_tls_is_asked_for(nats_server: NatsServer) -> None:
    with pytest.raises(Unavailable, match="does not offer TLS"):
        await connect(
            nats_server.url,
            name="test",
            password="hunter2",
            tls=ssl.create_default_context(),
            timeout_seconds=1,
        )


async def test_two_followers_do_not_share_anything(real: JetStream) -> None:
    readers = [Reader(), Reader()]

    async def take(events: Sequence[Recorded]) -> None:
        await readers[1].take(events)

    other = Follower(real.connection, ("evt.*.*.*.two.*",), 0, take, "other")
    await other.start()
    async with following(real, readers[0]) as follower:
        await write(real, 1, 3)
        last = await real.log.append(TWO, [StringValue("x")], after=Head(), cause=cause("r"))
        await follower.reached(last.sequence)
        await other.reached(last.sequence)
    await other.stop()
    assert [reader.sequences for reader in readers] == [[1, 2, 3, 4], [4]]


async def test_what_the_server_republishes_onto_the_log_says_nothing(real: JetStream) -> None:
    """Who may make a stream may have the server write what he likes: no reader believes it, and the log goes on."""
    written = await real.log.append(ONE, [StringValue("true")], after=Head(), cause=cause("r1"))
    forged = f"evt.{ONE.tenant}.{ONE.context}.{ONE.aggregate}.{ONE.id}.StringValue"
    wanted = {"name": "MINE", "subjects": ["mine.>"], "republish": {"src": "mine.x", "dest": forged}}
    assert "error" not in await call(real.connection, "STREAM.CREATE.MINE", wanted)
    recorded = (await real.log.load(ONE))[0]
    lines = raw_headers(recorded).replace(recorded.event_id.encode(), b"another-id").split(b"\r\n")
    header = b"\r\n".join(each for each in lines if not each.startswith(b"Nats-"))
    _, answer = await real.connection.ask("mine.x", recorded.payload, header=header)
    assert json.loads(answer)["stream"] == "MINE"
    await until_at(real.connection, written.sequence + 1)
    believed, verbatim = Reader(), Reader()
    follower = Follower(real.source, ("evt.>",), 0, verbatim.take, "leaves", verbatim=True)
    await follower.start()
    async with following(real, believed) as other:
        for each in (follower, other):
            await each.reached(written.sequence + 1)
    await follower.stop()
    assert [raw_headers(each) == b"" for each in believed.events] == [False, True]
    assert believed.events[1].payload == b""
    assert REPUBLISHED in raw_headers(verbatim.events[1])
    assert verbatim.events[1].payload == recorded.payload
    assert [raw_headers(each) == b"" for each in await real.log.load(ONE)] == [False, True]


async def until_at(connection: Connection, sequence: int) -> None:
    async with asyncio.timeout(10):
        while (await stream_state(connection)).last < sequence:
            await asyncio.sleep(0.01)
