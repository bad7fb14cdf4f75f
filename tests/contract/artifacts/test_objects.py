"""Artifacts in NATS: whatever is lost on the way, whoever stands still or is killed, and by other programs' eyes."""

import asyncio
import itertools
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from nats.js.errors import ObjectNotFoundError

from chassis.eventlog.connection import connect
from chassis.eventlog.stream import ensure_stream
from chassis.eventlog.wire import AnswerLost, Connection, NotConnected
from chassis.process import new_id
from kernel.faults import Unavailable
from services.state.adapters import ArtifactObjects
from services.state.adapters.objects import CHUNK_BYTES
from tests.contract.artifacts.places import InNats, in_nats
from tests.contract.artifacts.test_artifacts import ALWAYS, CONTENT, SHA256, some
from tests.fakes.nats_cluster import NatsCluster, with_a_log
from tests.fakes.nats_server import NatsServer
from tests.fakes.wait import until

Asked = Callable[[int, str], None]


def meddle(connection: Connection, *, before: Asked | None = None, after: Asked | None = None) -> None:
    """Let something happen before or after the n-th question; what it raises comes instead of the answer."""
    ask, numbers = connection.ask, itertools.count(1)

    async def asking(subject: str, payload: bytes = b"", **rest: Any) -> tuple[bytes | None, bytes]:
        number = next(numbers)
        if before is not None:
            before(number, subject)
        answer = await ask(subject, payload, **rest)
        if after is not None:
            after(number, subject)
        return answer

    connection.ask = asking  # type: ignore[method-assign]


@pytest.mark.parametrize("lost", ["the question", "the answer"])
async def test_whatever_gets_lost_on_the_way_it_is_put_whole_and_once(objects: InNats, lost: str) -> None:
    reached = 0

    def loses(at: int) -> Asked:
        def losing(number: int, subject: str) -> None:
            nonlocal reached
            if number == at:
                reached = at
                raise NotConnected if lost == "the question" else AnswerLost

        return losing

    ask = objects.connection.ask
    for at in itertools.count(1):
        sha256, content = some(3 * CHUNK_BYTES + 5, at)
        meddle(objects.connection, **{"before" if lost == "the question" else "after": loses(at)})
        await objects.artifacts.put("acme", sha256, content)
        objects.connection.ask = ask  # type: ignore[method-assign]
        assert await objects.other.get("acme", sha256) == content
        if reached < at:
            break
    assert at > 6, "it asks more often than that"
    await objects.artifacts.sweep(ALWAYS)
    assert await objects.pieces() == at * 5, "four chunks each, and what says that they are one"


async def test_a_writer_that_goes_away_at_any_moment_leaves_nothing_that_can_be_read(objects: InNats) -> None:
    sha256, content = some(3 * CHUNK_BYTES + 5)
    ask = objects.connection.ask
    for at in itertools.count(1):
        writing = asyncio.ensure_future(objects.artifacts.put("acme", sha256, content))

        def goes_away(number: int, subject: str, writing: Any = writing, at: int = at) -> None:
            if number == at:
                writing.cancel()

        meddle(objects.connection, before=goes_away)
        await asyncio.wait({writing})
        objects.connection.ask = ask  # type: ignore[method-assign]
        if not writing.cancelled():
            break
        assert await objects.other.get("acme", sha256) in (None, content)
    assert at > 6
    assert await objects.other.get("acme", sha256) == content
    await objects.artifacts.sweep(ALWAYS)
    assert await objects.pieces() == 5


async def test_who_stood_still_until_it_was_swept_begins_anew(objects: InNats) -> None:
    sha256, content = some(CHUNK_BYTES + 5)
    standing, woken, swept = asyncio.Event(), asyncio.Event(), 0
    ask = objects.connection.ask

    async def asking(subject: str, payload: bytes = b"", **rest: Any) -> tuple[bytes | None, bytes]:
        if ".M." in subject and not woken.is_set():
            standing.set()
            await woken.wait()
        return await ask(subject, payload, **rest)

    objects.connection.ask = asking  # type: ignore[method-assign]
    writing = asyncio.ensure_future(objects.artifacts.put("acme", sha256, content))
    await asyncio.wait_for(standing.wait(), 15)
    swept = await objects.other.sweep(ALWAYS)
    assert swept == 1
    woken.set()
    await asyncio.wait_for(writing, 15)
    assert await objects.other.get("acme", sha256) == content
    assert await objects.pieces() == 3


async def test_what_is_put_anew_while_it_is_read_is_read(objects: InNats) -> None:
    sha256, content = some(2 * CHUNK_BYTES)
    await objects.artifacts.put("acme", sha256, content)
    await objects.damage("acme", sha256)
    ask, mended = objects.connection.ask, False

    async def asking(subject: str, payload: bytes = b"", **rest: Any) -> tuple[bytes | None, bytes]:
        nonlocal mended
        if b"next_by_subj" in payload and not mended:
            mended = True
            await objects.other.put("acme", sha256, content)
        return await ask(subject, payload, **rest)

    objects.connection.ask = asking  # type: ignore[method-assign]
    assert await objects.artifacts.get("acme", sha256) == content


async def test_a_bucket_that_was_taken_away_is_made_anew(objects: InNats) -> None:
    await objects.artifacts.put("acme", SHA256, CONTENT)
    await objects.call("STREAM.DELETE")
    assert await objects.other.get("acme", SHA256) is None
    await objects.artifacts.put("acme", SHA256, CONTENT)
    assert await objects.other.get("acme", SHA256) == CONTENT


async def test_without_nats_it_says_so(nats_server: NatsServer, objects: InNats) -> None:
    await objects.artifacts.put("acme", SHA256, CONTENT)
    impatient = ArtifactObjects(objects.connection, objects.bucket, new_id, patience_seconds=0.2)
    nats_server.stop()
    try:
        for work in (impatient.get("acme", SHA256), impatient.put("acme", *some(5)), impatient.sweep(ALWAYS)):
            with pytest.raises(Unavailable) as caught:
                await work
            assert caught.value.reason == "LOG_UNREACHABLE"
    finally:
        nats_server.start()
    assert await objects.artifacts.get("acme", SHA256) == CONTENT


async def test_other_clients_read_what_is_here_and_what_they_deleted_is_gone(objects: InNats) -> None:
    sha256, content = some(3 * CHUNK_BYTES + 5)
    await objects.artifacts.put("acme", sha256, content)
    theirs = await objects.connection.jetstream().object_store(objects.bucket)
    name = f"acme/{sha256}"
    found = await theirs.get(name)
    assert (found.data, found.info.size, found.info.chunks) == (content, len(content), 4)
    assert [each.name for each in await theirs.list()] == [name]
    await theirs.delete(name)
    with pytest.raises(ObjectNotFoundError):
        await theirs.get(name)
    assert await objects.artifacts.get("acme", sha256) is None
    await objects.artifacts.put("acme", sha256, content)
    assert (await theirs.get(name)).data == content
    await theirs.put("not ours", b"something else")
    await objects.artifacts.sweep(ALWAYS)
    assert (await theirs.get(name)).data == content


async def _putting(objects: InNats, seed: int, kept: dict[str, bytes], stopping: asyncio.Event) -> None:
    """Store one after the other; `kept` is what was acknowledged."""
    for number in itertools.count(seed, 100):
        sha256, content = some(2 * CHUNK_BYTES + number, number)
        while sha256 not in kept:
            with suppress(Unavailable):  # it may be there all the same: it is asked for again
                await objects.artifacts.put("acme", sha256, content)
                kept[sha256] = content
        if stopping.is_set():
            return


@pytest.mark.timeout(120)
@pytest.mark.parametrize("nodes", [1, 3])
async def test_killed_under_load_it_loses_nothing_that_was_acknowledged(
    request: pytest.FixtureRequest, nodes: int
) -> None:
    if nodes == 1:
        server: NatsServer = request.getfixturevalue("nats_server")
        url = server.url
    else:
        cluster: NatsCluster = request.getfixturevalue("nats_cluster")
        await with_a_log(cluster)
        url = cluster.url
    connection, second = await connect(url, name="a"), await connect(url, name="b")
    await ensure_stream(connection, max_bytes=64 * 1024**2)
    objects = await in_nats(connection, second)
    kept: dict[str, bytes] = {}
    stopping = asyncio.Event()
    writing = [asyncio.create_task(_putting(objects, seed, kept, stopping)) for seed in (1, 2, 3)]
    for _ in range(2 if nodes == 1 else 1):
        enough = len(kept) + 8
        await until(lambda enough=enough: len(kept) >= enough, "nothing is stored any more", 40)  # type: ignore[misc]
        info = await objects.call("STREAM.INFO")
        dying = server if nodes == 1 else cluster.leader(info)
        dying.kill()
        if nodes == 3:
            enough = len(kept) + 3
            await until(lambda enough=enough: len(kept) >= enough, "nobody leads any more", 40)  # type: ignore[misc]
        dying.start()
    stopping.set()
    await asyncio.wait_for(asyncio.gather(*writing), 40)
    for sha256, content in kept.items():
        assert await objects.other.get("acme", sha256) == content
    await objects.artifacts.sweep(ALWAYS)
    assert await objects.pieces() == 4 * len(kept), "an upload that was cut off is still there"
    await connection.close()
    await second.close()


async def test_it_is_kept_on_as_many_servers_as_the_log(nats_cluster: NatsCluster) -> None:
    connection = await connect(nats_cluster.url, name="a")
    await with_a_log(nats_cluster)
    await ensure_stream(connection, replicas=1)
    objects = await in_nats(connection, connection)
    assert (await objects.call("STREAM.INFO"))["config"]["num_replicas"] == 1
    await objects.artifacts.put("acme", SHA256, CONTENT)
    await ensure_stream(connection, replicas=3)
    again = ArtifactObjects(connection, objects.bucket, new_id)

    async def opened() -> bool:
        # NATS takes a node for away a while longer that was killed before and is back.
        with suppress(Unavailable):
            await again.open()
            return True
        return False

    await until(opened, "three servers are there, and it is not kept on them")
    assert (await objects.call("STREAM.INFO"))["config"]["num_replicas"] == 3
    assert await again.get("acme", SHA256) == CONTENT
    await connection.close()
