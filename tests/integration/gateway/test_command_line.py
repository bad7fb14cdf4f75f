"""The command line against a gateway that runs."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from provost_sdk import Provost
from provost_sdk.errors import NotAllowed, NotAuthenticated
from tests.fakes.doors import OPERATOR, VIEWER
from tests.integration.gateway.conftest import Door

PROGRAM = Path(sys.executable).parent / "provost"


async def provost(*arguments: str, stdin: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    command = [str(PROGRAM), *arguments]
    return await asyncio.to_thread(
        subprocess.run, command, input=stdin, capture_output=True, timeout=60, check=False
    )


async def test_a_log_goes_in_and_an_answer_comes_out(door: Door, tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_bytes(b"boom \xff\n" * 1000)
    flags = ("--address", door.process.address, "--key", OPERATOR)
    told = await provost("process", str(log), "--json", "--request-id", "r-1", *flags)
    assert told.returncode == 0, told.stderr
    made = json.loads(told.stdout)
    assert (made["run_id"], made["source"]["size_bytes"]) == ("r-1", 7000)
    told = await provost("process", "-", *flags, stdin=b"boom\n")
    assert told.returncode == 0
    assert b"COMPLETED" in told.stdout
    told = await provost("process", "-", "--address", door.process.address, "--key", "wrong", stdin=b"boom\n")
    assert (told.returncode, b"KEY_UNKNOWN" in told.stderr) == (1, True)


async def test_status_names_what_is_away(door: Door) -> None:
    told = await provost("status", "--json", "--address", door.process.address)
    assert told.returncode == 1
    components = {each["name"]: each for each in json.loads(told.stdout)["components"]}
    assert components["policy"]["healthy"] is True
    assert components["state"]["healthy"] is False
    assert components["nats"]["healthy"] is components["store"]["healthy"] is True


async def test_nobody_there(door: Door) -> None:
    await asyncio.to_thread(door.process.stop)
    told = await provost("runs", "list", "--address", door.process.address, "--key", OPERATOR)
    assert told.returncode == 3
    assert b"make run" in told.stderr
    assert (await provost("status", "--wait", "0.5", "--address", door.process.address)).returncode == 3


async def test_the_client_in_a_program(door: Door) -> None:
    async with Provost(door.process.address, OPERATOR) as client:
        run = await client.process_log("boom\n", mode="safe", request_id="r-2")
        assert run.run_id == "r-2"
        with pytest.raises(NotAllowed) as refused:
            _ = [each async for each in client.rebuild_ledger()]
        assert refused.value.reason == "ROLE_MISSING"
    async with Provost(door.process.address, "wrong") as client:
        with pytest.raises(NotAuthenticated) as unknown:
            await client.list_runs()
        assert unknown.value.reason == "KEY_UNKNOWN"


async def test_a_viewer_may_look_and_no_more(door: Door) -> None:
    flags = ("--address", door.process.address, "--key", VIEWER)
    told = await provost("process", "-", *flags, stdin=b"boom\n")
    assert (told.returncode, b"ROLE_MISSING" in told.stderr) == (1, True)
