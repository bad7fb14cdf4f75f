"""Aggregates held in memory: decide, append, follow, and what happens when others are quicker."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, replace

import pytest
import pytest_asyncio
from google.protobuf.wrappers_pb2 import Int64Value as Int64Message

from chassis import metrics
from chassis.eventlog.aggregates import TRIES, HeldAggregates
from chassis.eventlog.follower import Follower
from chassis.eventlog.headers import block, raw_headers
from chassis.eventlog.held import REMEMBERED_IDS
from chassis.eventlog.memory import MemoryLog
from kernel.decider import Decider
from kernel.events import Appended, Head, Recorded, Stream
from kernel.faults import AppendConflict, Refused, Unavailable
from tests.contract.eventlog.words import CODEC, Int64Value, StringValue, cause
from tests.fakes.behind import behind as replica_behind


@dataclass(frozen=True, slots=True)
class Add:
    amount: int


class More(Add):
    """Another command."""


class Exactly(Add):
    """Whatever brings the total to `amount`."""


@dataclass(frozen=True, slots=True)
class Sum:
    total: int = 0
    added: tuple[int, ...] = ()


def decide(state: Sum, command: Add) -> Int64Value | None:
    if isinstance(command, Exactly):
        return Int64Value(command.amount - state.total) if command.amount != state.total else None
    if command.amount < 0:
        raise Refused("NEGATIVE", "only more is possible")
    return Int64Value(command.amount) if command.amount else None


def evolve(state: Sum, event: Int64Value) -> Sum:
    return replace(state, total=state.total + event.value, added=(*state.added, event.value))


SUM: Decider[Add, Sum, Int64Value] = Decider("test", "sum", Sum(), decide, evolve)


class Service:
    """One replica: its aggregates and the follower that feeds them."""

    def __init__(self, log: MemoryLog) -> None:
        self.sums = HeldAggregates(SUM, log, CODEC)
        self.may_read = asyncio.Event()
        self.may_read.set()
        self.follower = Follower(log, self.sums.filters, 0, self._take, "test")

    async def _take(self, events: Sequence[Recorded]) -> None:
        await self.may_read.wait()
        await self.sums.take(events)


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog(CODEC)


@pytest_asyncio.fixture
async def replicas(log: MemoryLog) -> AsyncIterator[list[Service]]:
    made = [Service(log), Service(log)]
    for each in made:
        await each.follower.start()
    yield made
    for each in made:
        await each.follower.stop()


async def test_a_command_is_decided_written_and_seen_at_once(replicas: list[Service]) -> None:
    one, other = replicas
    first = await one.sums.handle("a", Add(3), cause("r1"))
    second = await one.sums.handle("a", Add(4), cause("r2"))
    assert (first.sequence, second.sequence) == (1, 2)
    assert one.sums.current("acme", "a") == Sum(7, (3, 4))
    assert one.sums.head("acme", "a") == Head(2, 2)
    await other.follower.reached(2)
    assert other.sums.current("acme", "a") == Sum(7, (3, 4))
    await one.follower.reached(2)
    assert one.sums.current("acme", "a") == Sum(7, (3, 4))


async def test_nobody_else_is_touched_by_it(replicas: list[Service]) -> None:
    one, _ = replicas
    await one.sums.handle("b", Add(1), cause("r1"))
    await one.sums.handle("a", Add(3), cause("r1"))
    assert one.sums.current("acme", "c") == Sum()
    assert one.sums.current("other", "a") == Sum()
    assert [key for key, _ in one.sums.all("acme")] == ["b", "a"]
    assert (list(one.sums.all("other")), one.sums.tenants()) == ([], frozenset({"acme"}))


async def test_the_same_request_is_answered_as_before_by_every_replica(replicas: list[Service]) -> None:
    one, other = replicas
    first = await one.sums.handle("a", Add(3), cause("r1"))
    await one.sums.handle("a", Add(4), cause("r2"))
    await other.follower.reached(2)
    for each in replicas:
        assert await each.sums.handle("a", Add(3), cause("r1")) == replace(first, duplicate=True)
    assert other.sums.current("acme", "a").total == 7


async def test_the_same_request_is_answered_as_before_when_the_log_has_forgotten_its_id(
    replicas: list[Service], log: MemoryLog
) -> None:
    first = await replicas[0].sums.handle("s1", Add(2), cause("r1"))
    log.forget_ids()
    again = await replicas[0].sums.handle("s1", Add(2), cause("r1"))
    assert (again.sequence, again.duplicate) == (first.sequence, True)
    assert len(log.recorded()) == 1


async def test_what_changes_nothing_writes_nothing(replicas: list[Service], log: MemoryLog) -> None:
    one, _ = replicas
    await one.sums.handle("a", Add(3), cause("r1"))
    assert await one.sums.handle("a", Add(0), cause("r2")) == Appended(1, ())
    assert await log.last_sequence() == 1


@pytest.fixture
def behind(replicas: list[Service], monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """The second replica, which takes a second look, and from now on is behind until it does."""
    other = replicas[1]
    other.sums.following, other.sums.second_look = other.follower, True
    with replica_behind(other.follower, monkeypatch):
        yield other


async def test_what_appends_nothing_is_decided_again_when_all_of_the_log_is_known(
    replicas: list[Service], behind: Service
) -> None:
    await replicas[0].sums.handle("a", Exactly(3), cause("r1"))
    assert (await behind.sums.handle("a", Exactly(0), cause("r2"))).sequence == 2


async def test_what_the_second_look_finds_answered_is_not_written_again(
    replicas: list[Service], behind: Service, log: MemoryLog
) -> None:
    for n, amount in enumerate((3, 0, 5)):
        await replicas[0].sums.handle("a", Exactly(amount), cause(f"r{n}"))
    log.forget_ids()
    again = await behind.sums.handle("a", Exactly(0), cause("r1"))
    assert (again.sequence, again.duplicate) == (2, True)


async def test_who_cannot_look_says_no_but_not_that_there_is_nothing_to_do(
    replicas: list[Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    sums = replicas[1].sums
    sums.following, sums.second_look = replicas[1].follower, True

    async def unreachable() -> int:
        raise Unavailable("LOG_UNREACHABLE", "the event log does not answer")

    monkeypatch.setattr(sums._log, "last_sequence", unreachable)
    with pytest.raises(Refused):
        await sums.handle("a", Add(-1), cause("r1"))
    with pytest.raises(Unavailable):
        await sums.handle("a", Add(0), cause("r2"))
    await sums.handle("a", Add(1), cause("r3"))


async def test_nobody_waits_behind_who_looks_and_who_looks_together_looks_once(
    replicas: list[Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    sums = replicas[1].sums
    sums.following, sums.second_look = replicas[1].follower, True
    asked, may_answer = asyncio.Event(), asyncio.Event()
    looks = 0

    async def away() -> int:
        nonlocal looks
        looks += 1
        asked.set()
        await may_answer.wait()
        raise Unavailable("LOG_UNREACHABLE", "the event log does not answer")

    monkeypatch.setattr(sums._log, "last_sequence", away)
    nothing = [asyncio.ensure_future(sums.handle("a", Add(0), cause(f"n{n}"))) for n in range(5)]
    no = asyncio.ensure_future(sums.handle("a", Add(-1), cause("no")))
    await asked.wait()
    assert (await sums.handle("a", Add(1), cause("r1"))).sequence == 1
    may_answer.set()
    for each in nothing:
        with pytest.raises(Unavailable):
            await each
    with pytest.raises(Refused):
        await no
    assert looks == 1


async def test_what_is_written_while_one_looks_is_decided_on(
    replicas: list[Service], behind: Service
) -> None:
    await replicas[0].sums.handle("a", Exactly(3), cause("r1"))
    ends = [asyncio.ensure_future(behind.sums.handle("a", Exactly(0), cause(f"r{n}"))) for n in (2, 3)]
    assert sorted([(await each).event_ids != () for each in ends]) == [False, True]
    assert behind.sums.current("acme", "a").total == 0


async def test_a_refusal_leaves_no_trace_not_even_the_id(replicas: list[Service]) -> None:
    one, _ = replicas
    with pytest.raises(Refused):
        await one.sums.handle("made-up", Add(-1), cause("r1"))
    assert list(one.sums.all("acme")) == []
    assert "made-up" not in one.sums._held["acme"]


async def test_the_same_request_id_of_another_caller_or_command_is_another_request(
    replicas: list[Service],
) -> None:
    one, other = replicas
    await one.sums.handle("a", Add(3), cause("r1"))
    for n, (command, by) in enumerate(((Add(3), "key:other"), (More(3), "key:test")), start=2):
        written = await one.sums.handle("a", command, cause("r1", by))
        assert (written.sequence, written.duplicate) == (n, False)
        again = await other.sums.handle("a", command, cause("r1", by))
        assert (again.sequence, again.duplicate) == (n, True)


async def test_a_step_is_taken_over_by_whoever_comes_to_it(replicas: list[Service]) -> None:
    one, other = replicas
    first = await one.sums.handle("a", Add(3), replace(cause("r1", "key:op"), asker="service:test"))
    taken_over = replace(cause("r1", "service:test"), asker="service:test")
    assert await other.sums.handle("a", Add(3), taken_over) == replace(first, duplicate=True)


async def test_after_a_conflict_it_decides_again_on_what_the_other_wrote(replicas: list[Service]) -> None:
    one, other = replicas
    other.may_read.clear()
    await one.sums.handle("a", Add(3), cause("r1"))
    late = asyncio.create_task(other.sums.handle("a", Add(4), cause("r2")))
    await asyncio.sleep(0)
    other.may_read.set()
    assert (await late).sequence == 2
    assert other.sums.current("acme", "a") == Sum(7, (3, 4))


async def test_many_replicas_and_requests_lose_nothing(replicas: list[Service], log: MemoryLog) -> None:
    await asyncio.gather(
        *(replicas[n % 2].sums.handle(f"{n % 3}", Add(1), cause(f"r{n}")) for n in range(60))
    )
    for each in replicas:
        await each.follower.reached(60)
        assert [each.sums.current("acme", key).total for key in ("0", "1", "2")] == [20, 20, 20]
    assert await log.last_sequence() == 60


async def test_it_gives_up_after_five_conflicts(replicas: list[Service], log: MemoryLog) -> None:
    for _ in range(TRIES):
        log.conflict_next()
    with pytest.raises(AppendConflict):
        await replicas[0].sums.handle("a", Add(1), cause("r1"))
    assert (await replicas[0].sums.handle("a", Add(1), cause("r1"))).sequence == 1


async def test_a_lost_answer_is_found_again(replicas: list[Service], log: MemoryLog) -> None:
    one, _ = replicas
    log.lose_next_answer()
    with pytest.raises(Unavailable):
        await one.sums.handle("a", Add(3), cause("r1"))
    again = await one.sums.handle("a", Add(3), cause("r1"))
    assert (again.sequence, again.duplicate) == (1, True)
    assert one.sums.current("acme", "a") == Sum(3, (3,))


async def test_what_an_earlier_try_wrote_counts_not_what_is_decided_now(
    replicas: list[Service], log: MemoryLog
) -> None:
    one, _ = replicas
    one.may_read.clear()
    stream = Stream("acme", "test", "sum", "a")
    await log.append(stream, [Int64Value(3)], after=Head(), cause=cause("r1").asking(Add))
    late = asyncio.create_task(one.sums.handle("a", Add(5), cause("r1")))
    await asyncio.sleep(0)
    one.may_read.set()
    assert (await late).duplicate
    assert one.sums.current("acme", "a") == Sum(3, (3,))


async def test_an_aggregate_with_an_unreadable_event_is_closed_and_others_are_not(
    replicas: list[Service], log: MemoryLog
) -> None:
    one, _ = replicas
    await one.sums.handle("a", Add(3), cause("r1"))
    await log.append(
        Stream("acme", "test", "sum", "b"), [StringValue("not a sum")], after=Head(), cause=cause("r2")
    )
    log.put(
        "evt.acme.test.sum.a.Int64Value", b"\xff", b"NATS/1.0\r\nce-type: google.protobuf.Int64Value\r\n\r\n"
    )
    last = await one.sums.handle("c", Add(1), cause("r3"))
    await one.follower.reached(last.sequence)
    for closed in ("a", "b"):
        with pytest.raises(Unavailable) as caught:
            one.sums.current("acme", closed)
        assert caught.value.reason == "UNREADABLE_EVENT"
    with pytest.raises(Unavailable):
        await one.sums.handle("a", Add(1), cause("r4"))
    assert one.sums.current("acme", "c").total == 1


async def test_what_is_no_event_changes_nothing_and_writing_goes_on_behind_it(
    replicas: list[Service], log: MemoryLog
) -> None:
    answer = b'{"type":"io.nats.jetstream.api.v1.stream_info_response"}'
    for key in ("a", "new"):
        log.put(f"evt.acme.test.sum.{key}.Int64Value", answer)
    log.put("evt.acme.test.sum.a.Int64Value", b"", b"NATS/1.0 404 No Messages\r\n\r\n")
    lines = "ce-type: google.protobuf.Int64Value\r\nce-actor: key:alice\r\n"
    for twice in ("ce-actor: key:alice\r\n", "ce-actor: key:bob\r\n"):
        log.put(
            "evt.acme.test.sum.a.Int64Value", Int64Message(value=9).SerializeToString(), block(lines + twice)
        )
    passed_over = metrics.NO_EVENTS._value.get()
    one, other = replicas
    for each in replicas:
        await each.follower.reached(5)
    assert metrics.NO_EVENTS._value.get() == passed_over + 2 * 5
    assert list(one.sums.all("acme")) == []
    for key in ("a", "new"):
        with pytest.raises(Refused):
            await one.sums.handle(key, Add(-1), cause("no"))
    await one.sums.handle("a", Add(3), cause("r1"))
    log.put("evt.acme.test.sum.a.Int64Value", answer)
    last = await other.sums.handle("a", Add(4), cause("r2"))
    await other.sums.handle("new", Add(5), cause("r3"))
    assert (log.recorded()[-2].headers["ce-aggver"], other.sums.head("acme", "a").version) == ("2", 2)
    await one.follower.reached(last.sequence + 1)
    for each in replicas:
        assert each.sums.current("acme", "a") == Sum(7, (3, 4))
        assert each.sums.current("acme", "new") == Sum(5, (5,))


async def test_it_is_remembered_where_the_server_expects_the_next(
    replicas: list[Service], log: MemoryLog
) -> None:
    log.put("evt.acme.test.sum.a.Int64Value", b"{}")
    await replicas[0].follower.reached(1)
    again = HeldAggregates(SUM, log, CODEC)
    remembered = replicas[0].sums.remembered()
    assert remembered is not None
    again.restore(remembered)
    assert (await again.handle("a", Add(1), cause("r1"))).sequence == 2


async def test_a_copy_of_an_event_is_not_counted_again_however_old_it_is(
    replicas: list[Service], log: MemoryLog
) -> None:
    one, other = replicas
    for n in range(REMEMBERED_IDS + 2):
        await one.sums.handle("a", Add(1), cause(f"r{n}"))
    total = one.sums.current("acme", "a").total
    for old in (log.recorded()[0], log.recorded()[-1]):
        last = log.put(old.subject, old.payload, raw_headers(old))
    for each in replicas:
        await each.follower.reached(last)
        assert each.sums.current("acme", "a").total == total
    await other.sums.handle("a", Add(1), cause("next"))
    assert other.sums.head("acme", "a").version == total + 1
