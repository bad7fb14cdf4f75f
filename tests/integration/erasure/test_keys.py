"""Keys on a real server: made once, gone for good, of no use without the file, and not brought back by a copy."""

import asyncio
import base64
import json
from pathlib import Path

import pytest

from chassis.eventlog.api import call
from chassis.eventlog.headers import block
from chassis.eventlog.subject_keys import KEYS, NatsSubjectKeys
from chassis.eventlog.wire import Connection
from chassis.process import now
from kernel.events import Cause
from kernel.faults import Refused, Unavailable
from provost.event.v1 import privacy_pb2
from services.ledger.adapters.erasures import Erasures
from services.ledger.domain.erasure import EraseSubject
from tests.fakes.nats_server import NatsServer
from tests.integration.erasure.conftest import Replica

WHO = Cause("default", "r1", "key:admin", now())


async def kept(events: Connection, subject_id: str) -> bytes:
    """What the stream holds for a subject, as published."""
    answer = await call(events, f"STREAM.MSG.GET.{KEYS}", {"last_by_subj": f"key.default.{subject_id}"})
    return base64.b64decode(answer["message"]["data"]) if "message" in answer else b""


def on_disk(server: NatsServer, needle: bytes) -> list[Path]:
    return [path for path in server.store.rglob("*") if path.is_file() and needle in path.read_bytes()]


async def test_replicas_that_ask_at_once_have_the_same_key(replica: Replica) -> None:
    one, two = await replica(), await replica()
    made = await asyncio.gather(
        *(keys.of_subject("default", "alice") for keys in (one, two) for _ in range(5))
    )
    assert len({seal.key_id for seal in made}) == 1
    assert made[-1].open(made[0].seal("secret")) == "secret"
    others = [await one.of_subject("default", "bob"), await one.of_subject("acme", "alice")]
    assert len({seal.key_id for seal in (*others, made[0])}) == 3
    assert "alice" not in made[0].key_id


async def test_what_is_erased_is_gone_from_the_stream_the_disk_and_every_process(
    replica: Replica, events: Connection, nats_server: NatsServer
) -> None:
    one, two, ledger = await replica(), await replica(), await replica()
    seal = await one.of_subject("default", "alice")
    sealed = (await two.of_key("default", seal.key_id)).seal("secret")
    subject_id = one.subject_id("default", "alice")
    wrapped = privacy_pb2.SubjectKey.FromString(await kept(events, subject_id)).wrapped
    assert on_disk(nats_server, wrapped)
    erasures = Erasures(events, ledger)
    await erasures._follower.start()
    try:
        erased = await erasures.erasing.erase("alice", "she asked", WHO)
        assert erased.event.key_id == seal.key_id
        assert not await kept(events, subject_id)
        assert not on_disk(nats_server, wrapped), "the server overwrites what it deletes"

        async def dropped(keys: NatsSubjectKeys) -> bool:
            return await keys.shown("default", sealed) == "[erased]"

        async with asyncio.timeout(1):
            for keys in (one, two):
                while not await dropped(keys):
                    await asyncio.sleep(0.01)
        with pytest.raises(Refused, match="erased"):
            await one.of_key("default", seal.key_id)
        again = await one.of_subject("default", "alice")
        assert again.key_id != seal.key_id
        assert again.key_id.startswith(subject_id)
        assert await two.shown("default", again.seal("new")) == "new"
    finally:
        await erasures._follower.stop()


async def test_a_ledger_that_died_behind_the_event_has_the_key_deleted_by_the_next(
    replica: Replica, events: Connection
) -> None:
    keys = await replica()
    seal = await keys.of_subject("default", "alice")
    subject_id = keys.subject_id("default", "alice")
    dead = Erasures(events, await replica())
    command = EraseSubject(subject_id, seal.key_id, "she asked", "key:admin", now())
    await dead._held.handle(subject_id, command, WHO)
    assert await kept(events, subject_id), "killed between the event and the key"
    living = Erasures(events, await replica())
    await living._follower.start()
    try:
        await living._follower.caught_up()
        assert not await kept(events, subject_id)
        # Somebody puts back a copy of the keys from before: it is refused, and gone at the next start.
        await living._follower.stop()
        await events.ask(f"key.default.{subject_id}", (await copy_of(keys, seal.key_id)))
        assert await kept(events, subject_id)
        for each in (keys, await replica()):
            with pytest.raises(Refused):
                await each.of_key("default", seal.key_id)
            with pytest.raises(Unavailable):
                await each.of_subject("default", "alice")
        third = Erasures(events, await replica())
        await third._follower.start()
        await third._follower.caught_up()
        await third._follower.stop()
        assert not await kept(events, subject_id)
    finally:
        await living._follower.stop()


async def copy_of(keys: NatsSubjectKeys, key_id: str) -> bytes:
    """A key as a backup of the stream would hold it."""
    return keys._wrapping.wrap("default", key_id, b"\1" * 32)


async def test_without_its_file_nothing_starts_and_nothing_is_read(
    replica: Replica, events: Connection, tmp_path: Path
) -> None:
    keys = await replica()
    await keys.of_subject("default", "alice")
    file = tmp_path / "keys" / "subjects.key"
    assert file.stat().st_mode & 0o777 == 0o600
    right = file.read_bytes()
    file.unlink()
    with pytest.raises(ValueError, match="is missing, and keys of subjects are wrapped with it"):
        await replica()
    assert not file.exists(), "no other one is made in its place"
    file.write_bytes(b"\7" * 32)
    file.chmod(0o600)
    with pytest.raises(ValueError, match="cannot be unwrapped"):
        await replica()
    file.write_bytes(b"short")
    with pytest.raises(ValueError, match="damaged"):
        await replica()
    file.write_bytes(right)
    file.chmod(0o644)
    with pytest.raises(PermissionError):
        await replica()
    file.chmod(0o600)
    assert (await (await replica()).of_subject("default", "alice")).key_id


async def test_the_stream_alone_shows_nothing(replica: Replica, events: Connection) -> None:
    keys = await replica()
    seal = await keys.of_subject("default", "alice")
    raw = await kept(events, keys.subject_id("default", "alice"))
    assert seal._key not in raw
    assert b"alice" not in raw


async def test_what_is_no_event_erases_nothing(replica: Replica, events: Connection) -> None:
    keys = await replica()
    seal = await keys.of_subject("default", "alice")
    erased = privacy_pb2.ErasedKey(subject_id=keys.subject_id("default", "alice"), key_id=seal.key_id)
    twice = block("ce-type: provost.event.v1.SubjectErased\r\nce-actor: x\r\nce-actor: x\r\n")
    for header in (b"", twice):
        _, answer = await events.ask(
            f"evt.default.ledger.erasure.{seal.key_id}.SubjectErased",
            erased.SerializeToString(),
            header=header,
        )
    await keys._follower.reached(json.loads(answer)["seq"])
    assert await keys.of_key("default", seal.key_id) is seal
    assert await keys.of_subject("default", "alice") is seal


async def test_while_erasures_are_not_known_no_held_key_is_used(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = await replica()
    seal = await keys.of_subject("default", "alice")
    await keys.delete("default", keys.subject_id("default", "alice"), seal.key_id)
    assert (await keys.of_key("default", seal.key_id)) is seal
    monkeypatch.setattr("chassis.eventlog.subject_keys.STALE_SECONDS", -1.0)
    with pytest.raises(Refused):
        await keys.of_key("default", seal.key_id)


async def test_runs_whose_time_is_over_are_erased_and_named_subjects_are_not(
    replica: Replica, events: Connection
) -> None:
    keys = await replica()
    old = [await keys.of_subject("default", f"run:{n}") for n in range(3)]
    named = await keys.of_subject("default", "alice")
    erasures = Erasures(events, await replica(), keep_days=1e-9)
    await erasures._follower.start()
    await erasures._follower.caught_up()
    try:
        assert await erasures.expire() == 3
        assert await erasures.expire() == 0
        assert not any([await kept(events, seal.key_id.partition("-")[0]) for seal in old])
        assert await kept(events, named.key_id.partition("-")[0])
        listed, _ = erasures.erasing.listed("default", 0, "")
        assert {each.event.key_id for each in listed} == {seal.key_id for seal in old}
        assert {each.event.by for each in listed} == {"service:ledger"}
    finally:
        await erasures._follower.stop()
