"""The SDK and the command line against the real log: tiles, leaves by number, waiting for proofs, keys that change."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from chassis.eventlog.wire import Connection
from provost_sdk.client import Provost
from provost_sdk.errors import ProvostError
from provost_sdk.log_keys import read_key_history
from provost_sdk.note import open_checkpoint, read_key
from provost_sdk.proofs import hash_leaf
from services.ledger.domain.entry import entry_of
from tests.fakes.doors import ADMIN, OPERATOR, VIEWER
from tests.fakes.wait import until
from tests.integration.ledger.process import publish
from tests.integration.log.conftest import Log
from tests.unit.ledger.story import plain, plains


async def test_tiles_and_leaves_are_the_same_over_grpc_and_over_http(log: Log, events: Connection) -> None:
    messages = plains(270)
    await log.head(await publish(events, messages))
    hashes = [entry_of(each).leaf_hash for each in messages]
    async with Provost(log.gateway.address, ADMIN) as provost, httpx2.AsyncClient(timeout=30) as http:
        http.headers["Authorization"] = f"Bearer {ADMIN}"
        for index, width in ((0, 0), (1, 14), (1, 3)):
            path = f"{index:03}" + (f".p/{width}" if width else "")
            wanted = hashes[index * 256 :][: width or 256]
            tile = await provost.get_tile(0, index, width)
            assert tile == b"".join(wanted) == (await http.get(f"{log.url}/tile/0/{path}")).content
            leaves = [each async for each in provost.get_entries(index, width)]
            assert [hash_leaf(each) for each in leaves] == wanted
            bundle = b"".join(len(each).to_bytes(2, "big") + each for each in leaves)
            assert (await http.get(f"{log.url}/tile/entries/{path}")).content == bundle
        with pytest.raises(ProvostError) as caught:
            await provost.get_tile(0, 1, 15)
        assert caught.value.reason == "TILE_UNKNOWN"
        proof = await provost.prove_leaf(269)
        assert (proof.leaf_index, proof.leaf_hash) == (269, hashes[269])
    async with Provost(log.gateway.address, OPERATOR) as operator:
        with pytest.raises(ProvostError) as caught:
            await operator.get_tile(0, 0)
        assert caught.value.reason == "ROLE_MISSING"
        with pytest.raises(ProvostError) as caught:
            await operator.prove_leaf(0)
        assert caught.value.reason == "ROLE_MISSING"


async def test_an_event_is_proved_as_soon_as_it_is_covered(log: Log, events: Connection) -> None:
    new = plain(1)
    async with Provost(log.gateway.address, VIEWER) as provost:
        waiting = asyncio.ensure_future(provost.await_inclusion(entry_of(new).event_id, timeout_seconds=30))
        await publish(events, [new])
        proof = await waiting
        assert (proof.leaf_index, proof.leaf_hash) == (0, entry_of(new).leaf_hash)
        assert proof.tree_head.checkpoint
        with pytest.raises(ProvostError) as caught:
            await provost.await_inclusion("nothing", timeout_seconds=1)
        assert caught.value.reason == "LEDGER_BEHIND"


@pytest.mark.slow
async def test_proofs_from_the_command_line_outlive_a_change_of_keys(
    log: Log, events: Connection, tmp_path: Path
) -> None:
    def provost(*arguments: str, key: str = ADMIN) -> "subprocess.CompletedProcess[str]":
        environment = {
            "PATH": os.environ["PATH"],
            "PROVOST_HOME": str(tmp_path / "nowhere"),
            "PROVOST_ADDRESS": log.gateway.address,
            "PROVOST_API_KEY": key,
        }
        command = [sys.executable, "-c", "from provost_sdk.cli import main; main()", "ledger", *arguments]
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=60, check=False
        )

    def written(name: str, *arguments: str) -> str:
        done = provost(*arguments)
        assert done.returncode == 0, done.stderr
        (tmp_path / name).write_text(done.stdout, encoding="utf-8")
        return str(tmp_path / name)

    event_id = entry_of(plain(7)).event_id
    await publish(events, plains(20))
    proof = written("proof", "prove", event_id, "--wait", "20")
    old_head = written("old", "head")
    old = provost("key").stdout.strip()
    assert provost("check", proof, "--key", old).returncode == 0

    log.change_keys("introduce")

    async def two() -> bool:
        return (await log.head(20)).tree_head.checkpoint.count("\n\u2014 ") == 2

    await until(two, "the head is not signed with both keys")
    both = provost("key").stdout.split()
    assert both[0] == old
    log.change_keys("retire")
    await log.head(await publish(events, plains(20, first=21)))
    assert provost("key").stdout.split() == both[1:]

    history, growth = written("history", "key", "--history"), written("growth", "prove-growth", old_head)
    late = written("late", "prove", "--index", "30")
    for key, given, code in (
        (old, (), 1),
        (both[1], (), 0),
        (old, ("--key-history", history), 0),
    ):
        assert provost("check", late, "--key", key, *given).returncode == code
    assert provost("check", proof, "--key", both[1], "--key-history", history).returncode == 0
    assert provost("consistent", old_head, growth, "--key", old).returncode == 1
    assert provost("consistent", old_head, growth, "--key", old, "--key-history", history).returncode == 0
    keys = read_key_history(Path(history).read_text(encoding="utf-8"), [read_key(old)])
    assert open_checkpoint((await log.head(40)).tree_head.checkpoint, keys).size == 40
    assert Path(history).read_bytes() == (log.ledger.home / "ledger" / "signer" / "keys").read_bytes()
