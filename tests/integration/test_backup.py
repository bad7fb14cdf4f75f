"""A copy of the log is taken while events are appended, and put back whole into another NATS."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from chassis.backup.streams import CONTENT, BackupTrouble, restore, take
from chassis.eventlog.connection import connect
from chassis.eventlog.stream import EVENTS, read_at, stream_state
from chassis.eventlog.wire import Connection
from tests.fakes.nats_server import NatsServer, events, nats_server

__all__ = ["events", "nats_server"]

PAYLOAD = os.urandom(1000)


@pytest_asyncio.fixture
async def elsewhere(tmp_path: Path) -> AsyncIterator[NatsServer]:
    (tmp_path / "elsewhere").mkdir()
    server = NatsServer(tmp_path / "elsewhere")
    server.start()
    yield server
    server.stop()


async def append(events: Connection, first: int, last: int) -> None:
    for n in range(first, last + 1):
        await events.jetstream().publish(
            f"evt.default.test.thing.t{n}.Happened", PAYLOAD, headers={"n": str(n)}
        )


async def test_a_copy_that_is_taken_under_way_is_the_log_of_one_moment(
    events: Connection, elsewhere: NatsServer, tmp_path: Path
) -> None:
    await append(events, 1, 600)
    more = asyncio.create_task(append(events, 601, 700))
    state = await take(events, EVENTS, tmp_path / "copy")
    await more
    assert 600 <= state["last_seq"] <= 700
    there = await connect(elsewhere.url, name="there")
    assert (await restore(there, EVENTS, tmp_path / "copy"))["last_seq"] == state["last_seq"]
    assert (await stream_state(there)).last == state["last_seq"]
    for sequence in (1, 300, state["last_seq"]):
        assert await read_at(there, sequence) == await read_at(events, sequence)
    # What protects it came with it, and it goes on where it ended.
    info = await there.jetstream().stream_info(EVENTS)
    assert (info.config.deny_delete, info.config.deny_purge) == (True, True)
    assert (await there.jetstream().publish("evt.default.test.thing.t1.Happened")).seq == state[
        "last_seq"
    ] + 1
    with pytest.raises(BackupTrouble, match="moved away"):
        await restore(there, EVENTS, tmp_path / "copy")
    await there.close()


async def test_what_is_not_whole_is_neither_kept_nor_put_back(events: Connection, tmp_path: Path) -> None:
    await append(events, 1, 5)
    with pytest.raises(BackupTrouble, match="stream not found"):
        await take(events, "NOTHING", tmp_path)
    assert list(tmp_path.iterdir()) == []
    await take(events, EVENTS, tmp_path)
    with pytest.raises(BackupTrouble, match="is there already"):
        await take(events, EVENTS, tmp_path)
    content = tmp_path / EVENTS / CONTENT
    content.write_bytes(content.read_bytes()[:-1])
    with pytest.raises(BackupTrouble, match="not what was written there"):
        await restore(events, EVENTS, tmp_path)
    with pytest.raises(BackupTrouble, match="no whole backup"):
        await restore(events, "KEYS", tmp_path)


def run(url: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "chassis.backup", *arguments],
        env={"PATH": os.environ["PATH"], "PROVOST_NATS_URL": url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def test_the_command_says_what_it_did(
    events: Connection, nats_server: NatsServer, tmp_path: Path
) -> None:
    await append(events, 1, 3)
    done = await asyncio.to_thread(run, nats_server.url, "take", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "EVENTS: 3 messages, sequences 1 to 3, kept in" in done.stdout
    assert json.loads((tmp_path / EVENTS / "backup.json").read_text())["state"]["messages"] == 3
    again = await asyncio.to_thread(run, nats_server.url, "take", str(tmp_path))
    assert (again.returncode, "is there already" in again.stderr) == (1, True)


def test_without_the_password_the_command_says_how_it_is_given(tmp_path: Path) -> None:
    secret = "the-password-of-this-test"
    server = NatsServer(tmp_path, extra=f'authorization {{ user: "provost", password: "{secret}" }}')
    server.start()
    try:
        for user in ("", "provost:wrong@"):
            done = run(server.url.replace("//", f"//{user}"), "take", str(tmp_path / "copy"))
            assert done.returncode == 1
            assert "Traceback" not in done.stdout + done.stderr
            assert "could not connect to NATS" in done.stderr
            assert "PROVOST_NATS_URL=nats://provost:PASSWORD@" in done.stderr
        known = run(server.url.replace("//", f"//provost:{secret}@"), "take", str(tmp_path / "copy"))
        assert (known.returncode, "stream not found" in known.stderr) == (1, True), "it came in"
    finally:
        server.stop()
