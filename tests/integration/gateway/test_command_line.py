"""The command line against a gateway that runs."""

import asyncio
import json
import signal
import subprocess
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import pytest

from provost_sdk import Provost
from provost_sdk.errors import NotAllowed, NotAuthenticated
from tests.fakes.doors import OPERATOR, VIEWER
from tests.fakes.wait import until
from tests.integration.gateway.conftest import Door

PROGRAM = Path(sys.executable).parent / "provost"
INTERRUPTIBLE = """
import signal
from provost_sdk.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs the tests may be deaf to it
main()
"""


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


async def waiting(door: Door, *options: str) -> Process:
    """`provost process` whose run is at work."""
    door.peers.orchestrator.go.clear()
    flags = ("process", "-", *options, "--address", door.process.address, "--key", OPERATOR)
    command = await asyncio.create_subprocess_exec(
        sys.executable, "-c", INTERRUPTIBLE, *flags, stdin=PIPE, stdout=PIPE, stderr=PIPE
    )
    assert command.stdin is not None
    command.stdin.write(b"boom\n")
    command.stdin.close()
    await until(lambda: door.peers.orchestrator.at_work == 1, "no run was asked for")
    return command


async def test_a_gateway_that_was_killed_and_is_back_loses_no_run(door: Door) -> None:
    command = await waiting(door, "--json")
    await asyncio.to_thread(door.process.kill)
    await asyncio.to_thread(door.process.start)
    await until(lambda: door.peers.orchestrator.at_work == 2, "nobody asked again")
    door.peers.orchestrator.go.set()
    out, err = await command.communicate()
    assert command.returncode == 0, err
    assert b"the same request is sent again" in err
    first, again = door.peers.orchestrator.request_ids
    assert first == again == json.loads(out)["run_id"]


async def test_whoever_waits_no_longer_for_a_run_is_told_how_to_find_it(door: Door) -> None:
    command = await waiting(door, "--request-id", "r-7")
    command.send_signal(signal.SIGINT)
    _, err = await command.communicate()
    assert command.returncode == 130
    assert b"provost runs list" in err
    assert b"--request-id r-7" in err
    assert b"Traceback" not in err


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
