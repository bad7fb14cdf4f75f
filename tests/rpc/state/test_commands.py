"""What state asks of its store, as a real one counts it: nothing but what docs/state.md lists, as DragonflyDB has it.

DragonflyDB itself is not run in the tests. What it would refuse is looked for instead: commands that it lacks, keys
that a script was not given, and keys of one call that lie in several slots.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.crc import key_slot

from chassis import store
from chassis.eventlog.memory import MemoryLog
from chassis.rpc import client
from provost.state.v1 import state_pb2 as pb
from services.state.adapters import RedisStore, scripts, wholeness
from services.state.wire import CODEC
from tests.fakes.valkey_cluster import ValkeyCluster, valkey_cluster
from tests.fakes.valkey_server import ValkeyServer
from tests.rpc.state.asks import look, verify
from tests.rpc.state.conftest import Running, cause, serving
from tests.rpc.state.test_store import busy

__all__ = ["valkey_cluster"]

PAGE = Path("docs/state.md")
SCRIPTS = {
    name: text
    for module in (scripts, wholeness)
    for name, text in vars(module).items()
    if isinstance(text, str) and "redis." in text
}
_CALL = re.compile(r"redis\.p?call\(([^)]*)")
_OURS = {"config resetstat", "info", "flushall", "quit"}


def documented(column: int) -> set[str]:
    """The commands that the page's table lists: sent (2), or called in scripts (3)."""
    section = PAGE.read_text().partition("DragonflyDB documents")[2].partition("\n## ")[0]
    rows = [line.split("|") for line in section.splitlines() if line.startswith("|")]
    return {name.lower() for row in rows[2:] for name in re.findall(r"`([A-Z ]+)`", row[column])}


async def everything(state: Running) -> None:
    """Written, read, lost and filled again, wiped and filled again, compared."""
    await busy(state)
    await look(state)
    for method, request in (
        ("ListEntries", pb.ListEntriesRequest(task_id="task-1", section="problem")),
        ("GetEntry", pb.GetEntryRequest(task_id="task-1", section="problem", key="objective")),
        ("ListMessages", pb.ListMessagesRequest(task_id="task-1")),
        ("ListArtifacts", pb.ListArtifactsRequest(task_id="task-1")),
        ("ListCheckpoints", pb.ListCheckpointsRequest(run_id="run-1")),
        ("ListPackets", pb.ListPacketsRequest(agent_id="sre-1")),
        ("ListRevocations", pb.ListRevocationsRequest()),
        ("GetTask", pb.GetTaskRequest(task_id="task-1")),
        ("Heartbeat", pb.HeartbeatRequest(agent_id="sre-1", ttl_seconds=30)),
    ):
        await client.call(getattr(state.stub, method), request, cause())
    await state.store.flushall()
    assert (await verify(state)).equal
    await client.call(state.stub.RebuildStore, pb.RebuildStoreRequest(), cause(), timeout_seconds=20)
    assert (await verify(state)).equal


@pytest.fixture
def script_keys(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[str]]:
    """The keys of each call of a script, once it was made."""
    found: list[Sequence[str]] = []
    run: Any = RedisStore._run

    async def running(self: Any, script: str, calls: Any) -> Any:
        found.extend(keys for keys, _ in calls)
        return await run(self, script, calls)

    monkeypatch.setattr(RedisStore, "_run", running)
    return found


async def test_no_command_is_sent_that_the_table_does_not_list(
    valkey_server: ValkeyServer, tmp_path: Path, script_keys: list[Sequence[str]]
) -> None:
    redis: Redis = store.connect(valkey_server.url)
    await redis.flushall()
    await redis.script_flush()  # as a server that has just been started
    await redis.config_resetstat()
    async with serving(MemoryLog(CODEC), valkey_server.url, tmp_path) as state:
        await everything(state)
    counted: Any = await redis.info("commandstats")
    await redis.aclose()
    sent = {name.removeprefix("cmdstat_").replace("|", " ") for name in counted} - _OURS
    listed = documented(2) | documented(3)
    assert sent <= listed, f"not in {PAGE}: {sorted(sent - listed)}"
    assert {"mget", "hgetall", "evalsha", "script load", "hset", "scan"} <= sent, "this hears nothing"
    assert script_keys
    for keys in script_keys:
        assert len({key_slot(key.encode()) for key in keys}) == 1, f"several slots: {keys}"


async def test_nor_in_a_cluster(valkey_cluster: ValkeyCluster, tmp_path: Path) -> None:
    redis = store.connect(valkey_cluster.url)
    await redis.flushall()
    await redis.aclose()
    for node in valkey_cluster.nodes:
        valkey_cluster.ask(node, "CONFIG RESETSTAT")
    async with serving(MemoryLog(CODEC), valkey_cluster.url, tmp_path) as state:
        await everything(state)
    told = "".join(valkey_cluster.ask(node, "INFO commandstats") for node in valkey_cluster.nodes)
    sent = {name.replace("|", " ") for name in re.findall(r"cmdstat_([a-z|_]+):", told)} - _OURS
    of_servers = {"cluster setslot", "cluster meet", "cluster info", "replconf", "psync", "ping"}
    listed = documented(2) | documented(3) | of_servers
    assert sent <= listed, f"not in {PAGE}: {sorted(sent - listed)}"
    assert {"get", "evalsha", "cluster slots"} <= sent


def test_scripts_call_what_is_listed_on_keys_that_they_were_given() -> None:
    assert len(SCRIPTS) >= 6
    called = set()
    for name, text in SCRIPTS.items():
        for arguments in _CALL.findall(text):
            command, *rest = [each.strip() for each in arguments.split(",")]
            assert re.fullmatch(r"'[A-Z]+'", command), (
                f"{name} puts the name of a command together: {arguments}"
            )
            called.add(command.strip("'").lower())
            keys = rest if command in {"'DEL'", "'EXISTS'"} else rest[:1]
            assert all(re.fullmatch(r"KEYS\[\d+\]|key", key) for key in keys), f"{name}: {arguments}"
        assert "local key, " not in text or "= KEYS[k]" in text
    assert called == documented(3)
