"""The store's adapter alone: guards, lists, marks, and writers that come late, twice and out of order."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from chassis import store
from kernel.faults import Fault, Unavailable
from services.state.adapters import RedisStore
from services.state.adapters.wholeness import FORMATTED
from services.state.domain.agent import Command
from services.state.domain.documents import Document, Fields, Listing, comparable, documents, key_of
from services.state.domain.errors import RecordError
from services.state.domain.view import Part, Place, View
from tests.fakes.process import free_port
from tests.fakes.valkey_server import ValkeyServer
from tests.fakes.wait import until
from tests.unit.state.worlds import T0, Worked, acquire, advance, at, release

LOCK = Place("default", "sre-1", Part.LOCK)
TABLE = Place("default", "task-1", Part.SOLUTIONS)
LIST = Place("default", "task-1", Part.ARTIFACTS)


@pytest_asyncio.fixture
async def redis(valkey_server: ValkeyServer) -> AsyncIterator[Redis]:
    made = store.connect(valkey_server.url)
    await made.flushall()
    yield made
    await made.aclose()


async def test_what_is_older_or_the_same_changes_nothing(redis: Redis) -> None:
    place, derived = Place("default", "sre-1", Part.STATE), RedisStore(redis)
    await derived.write([Document(place, 5, "five")], T0)
    await derived.write([Document(place, 4, "four"), Document(place, 5, "again")], T0)
    assert (await derived.read([place])).values == ["five"]
    await derived.write([Document(place, 6, None)], T0)
    assert (await derived.read([place])).values == [None]
    await derived.write([Document(place, 5, "late")], T0)
    assert (await derived.read([place])).values == [None], "what is gone stays gone"


async def test_a_lock_that_has_run_out_is_not_written(redis: Redis) -> None:
    derived = RedisStore(redis)
    await derived.write([Document(LOCK, 1, "x", at(10))], at(9))
    assert 0 < await redis.pttl("agent:{default/sre-1}:lock") <= 6000
    await derived.write([Document(LOCK, 2, "y", at(10))], at(60))
    assert not await redis.exists("agent:{default/sre-1}:lock")


async def test_a_heartbeat_only_ever_moves_on(redis: Redis) -> None:
    place, derived = Place("default", "sre-1", Part.HEARTBEAT), RedisStore(redis)
    for beat in ("2026-03-01T12:00:05+00:00", "2026-03-01T12:00:01+00:00"):
        await derived.write([Document(place, 0, beat, at(30))], T0)
    assert (await derived.read([place])).values == ["2026-03-01T12:00:05+00:00"]


async def test_the_end_of_a_list_is_added_once_and_a_gap_is_told(redis: Redis) -> None:
    derived = RedisStore(redis)
    assert await derived.write([Document(LIST, 9, Listing(2, ("c",)))], T0) == [LIST]
    assert await derived.write([Document(LIST, 5, Listing(0, ("a", "b")))], T0) == []
    assert await derived.write([Document(LIST, 9, Listing(1, ("b", "c")))], T0) == []
    assert await derived.write([Document(LIST, 9, Listing(0, ("a", "b", "c")))], T0) == []
    assert await derived.dump() == {key_of(LIST): Listing(0, ("a", "b", "c"))}


async def test_fields_of_a_table_are_changed_where_the_table_is_there(redis: Redis) -> None:
    derived = RedisStore(redis)

    def changed(sequence: int, **fields: str | None) -> list[Document]:
        return [Document(TABLE, sequence, Fields(fields))]

    async def stands() -> dict[str, str]:
        found = (await derived.dump()).get(key_of(TABLE), {})
        assert isinstance(found, dict)
        return found

    assert await derived.write(changed(5, a="1"), T0) == [TABLE], "what was before is not known to be there"
    assert await stands() == {}
    assert await derived.write([Document(TABLE, 5, {"a": "1", "b": "1"})], T0) == []
    assert await derived.write(changed(7, b=None, c="7"), T0) == []
    assert await stands() == {"a": "1", "c": "7"}
    for late in (changed(5, b="5", c="5"), changed(7, c="again"), [Document(TABLE, 6, {"b": "6"})]):
        assert await derived.write(late, T0) == []
    assert await stands() == {"a": "1", "c": "7"}
    assert await derived.write([Document(TABLE, 7, {"c": "7"})], T0) == [], "whole, it is written again"
    assert await stands() == {"c": "7"}
    await redis.flushall()
    assert await derived.write(changed(8, c="8"), T0) == [TABLE]
    await derived.write([Document(TABLE, 8, {})], T0)
    assert await derived.write(changed(9, d="9"), T0) == [], "an empty table is there, too"
    assert await derived.dump() == {"blackboard:{default/task-1}:solutions": {"d": "9"}}


async def test_many_documents_of_many_tags_go_in_one_call(redis: Redis) -> None:
    derived = RedisStore(redis)
    some = [
        Document(Place("default", f"a{n}", part), n + 1, content)
        for n in range(700)
        for part, content in (
            (Part.STATE, "s"),
            (Part.ERRORS, {"total": str(n)}),
            (Part.AGENTS, frozenset("xy")),
        )
    ]
    await derived.write(some, T0)
    found = await derived.dump()
    assert found == {document.key: document.content for document in some}


async def test_the_position_moves_on_only_from_where_it_is_known_to_be(redis: Redis) -> None:
    derived = RedisStore(redis)
    assert not await derived.advance(0, 5), "it is empty: it must be filled"
    await derived.begin_fill("mine")
    assert await derived.finish_fill("mine", 5)
    assert await derived.advance(5, 9)
    assert await derived.advance(5, 7), "another replica is further"
    assert await derived.position() == 9
    await redis.flushall()
    assert not await derived.advance(9, 12)
    assert await derived.position() is None


async def test_a_fill_that_lost_something_on_the_way_does_not_count(redis: Redis) -> None:
    derived = RedisStore(redis)
    await derived.begin_fill("mine")
    await redis.flushall()
    assert not await derived.finish_fill("mine", 5)
    await derived.begin_fill("mine")
    await derived.wipe()
    assert not await derived.finish_fill("mine", 5)
    assert await derived.position() is None


async def test_any_number_may_fill_it_at_once_and_none_keeps_another_from_finishing(redis: Redis) -> None:
    one, other = RedisStore(redis), RedisStore(redis)
    await one.begin_fill("one's")
    await other.begin_fill("another's")
    assert await one.finish_fill("one's", 5)
    assert await other.finish_fill("another's", 4)
    assert await one.position() == 5
    assert not await one.finish_fill("one's", 6), "it is over"
    assert await one.advance(5, 7)
    assert await other.advance(4, 8)


async def test_nobody_fills_while_another_wipes_and_who_began_before_begins_again(redis: Redis) -> None:
    wiper, filler = RedisStore(redis), RedisStore(redis)
    place = Place("default", "sre-1", Part.STATE)
    await filler.begin_fill("before")
    await filler.write([Document(place, 5, "s")], T0)
    inside: list[str] = []

    async def while_it_wipes(*keys: str) -> None:
        """Between two steps of the wipe."""
        await real(*keys)
        if not inside:
            await filler.write([Document(place, 5, "s")], T0)
            assert not await filler.finish_fill("before", 5), "what it wrote is being deleted"
            for begun in (filler.begin_fill("meanwhile"), RedisStore(redis).wipe()):
                with pytest.raises(Unavailable):
                    await begun
            inside.append("seen")

    real, redis.delete = redis.delete, while_it_wipes  # type: ignore[method-assign,assignment]
    await wiper.wipe()
    redis.delete = real  # type: ignore[method-assign]
    assert inside
    assert await wiper.position() is None
    await filler.begin_fill("after")
    await filler.write([Document(place, 5, "s")], T0)
    assert await filler.finish_fill("after", 5)
    assert (await filler.read([place])).values == ["s"], "no guard is left of what was deleted"


async def test_two_that_find_it_empty_do_not_wipe_what_the_other_has_filled(redis: Redis) -> None:
    one, other = RedisStore(redis), RedisStore(redis)
    place = Place("default", "sre-1", Part.STATE)
    await one.begin_fill("one's")
    await one.write([Document(place, 5, "s")], T0)
    assert await one.finish_fill("one's", 5)
    await other._wipe("another's", unless=FORMATTED)  # it looked before the first one began
    assert await one.position() == 5


async def test_what_was_written_to_an_earlier_filling_is_not_said_to_be_in_this_one(redis: Redis) -> None:
    slow, quick = RedisStore(redis), RedisStore(redis)
    await slow.begin_fill("slow")
    assert await slow.finish_fill("slow", 5)
    await slow.write([Document(Place("default", "sre-1", Part.STATE), 9, "s")], T0)
    await redis.flushall()
    await quick.begin_fill("quick")
    assert await quick.finish_fill("quick", 7)
    assert not await slow.advance(5, 9), "what it wrote went with the store that it was written to"
    assert await slow.position() == 7
    assert await slow.advance(7, 9)


async def test_who_was_killed_while_it_wiped_keeps_nobody_for_long(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.state.adapters.store.WIPE_MILLISECONDS", 50)

    async def killed(*keys: str) -> None:
        raise ConnectionError("killed")

    gone = RedisStore(redis)
    await gone.write([Document(Place("default", "sre-1", Part.STATE), 9, "s")], T0)
    real, redis.delete = redis.delete, killed  # type: ignore[method-assign,assignment]
    with pytest.raises(Unavailable):
        await gone.wipe()
    redis.delete = real  # type: ignore[method-assign]
    next_one = RedisStore(redis)

    async def begun() -> bool:
        with contextlib.suppress(Unavailable):
            await next_one.begin_fill("next")
            return True
        return False

    await until(begun, "nobody may fill the store any more")
    assert await next_one.dump() == {}, "what was left of the wipe was not wiped"
    assert await next_one.finish_fill("next", 9)


async def test_a_store_that_does_not_answer_is_unavailable() -> None:
    client = store.connect(f"redis://127.0.0.1:{free_port()}/0", timeout_seconds=0.2)
    with pytest.raises(Unavailable) as caught:
        await RedisStore(client).position()
    assert caught.value.reason == "STORE_UNREACHABLE"
    await client.aclose()


@st.composite
def histories(draw: st.DrawFn) -> Worked:
    """Some dozen commands on one agent; those that are refused leave nothing."""
    worked, seconds = Worked().packed(), 0.0
    for _ in range(draw(st.integers(1, 15))):
        seconds += draw(st.floats(0, 40))
        token = worked.agent.lock.fencing_token if worked.agent.lock else 1
        commands: list[Command] = [
            acquire("run-1", seconds),
            acquire("run-2", seconds),
            advance(token, seconds, "EXECUTE"),
            advance(token + 1, seconds),
            release(token, seconds),
            RecordError("sre-1", "task-1", "", "TIMEOUT", "", False, at(seconds)),
        ]
        command = draw(st.sampled_from(commands))
        try:
            worked.does(command)
        except Fault:
            continue
    return worked


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(worked=histories(), data=st.data())
def test_writers_that_come_late_twice_and_out_of_order_end_with_what_the_log_says(
    valkey_server: ValkeyServer, worked: Worked, data: st.DataObject
) -> None:
    async def scenario() -> None:
        redis = store.connect(valkey_server.url)
        await redis.flushall()
        derived, now = RedisStore(redis), T0 + timedelta(seconds=20)
        view, writes = View(), list[list[Document]]()
        for event in worked.events:
            places = view.take("default", "sre-1", event.event, event.sequence)
            writes.append(documents(view, places))
        late = data.draw(st.permutations(writes)) + data.draw(st.lists(st.sampled_from(writes), max_size=5))
        for write in late:
            await derived.write(write, now)
        expected = {each.key: each.content for each in documents(view, view.places(), whole=True)}
        assert comparable(await derived.dump(), now) == comparable(expected, now)
        await redis.aclose()

    asyncio.run(scenario())
