"""The embedded run from start to end, with everything in it."""

import os
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from chassis.embedded.services import MODULES
from tests.e2e.embedded.embedded import Embedded

EVERYONE = {"nats-server", "valkey-server", *MODULES}


@pytest.fixture
def provost(tmp_path: Path) -> Iterator[Embedded]:
    given = Embedded(tmp_path / "home")
    yield given
    given.kill()
    given.until(lambda: not given.processes(), "all processes are gone")


@pytest.mark.slow
def test_it_starts_serves_stops_and_starts_again(provost: Embedded) -> None:
    provost.start()
    told = provost.run_json()
    assert set(told["pids"]) == EVERYONE
    assert told["pid"] == provost.pid
    assert provost.key("operator") in provost.output
    assert provost.key("approver") in provost.output
    assert provost.key("admin") not in provost.output
    assert told["http"] in provost.output
    assert told["grpc"] in provost.output
    with urllib.request.urlopen(f"{told['http']}/api/health", timeout=10) as answer:
        assert answer.status == 200
    assert not any(ord(char) < 32 and char != "\n" for char in provost.output), "colour or worse"

    first_key = provost.key("operator")
    assert provost.stop(signal.SIGINT) == 0
    order = [line.split()[0] for line in provost.output.splitlines() if " stopped " in line]
    assert order == [
        "gateway",
        "orchestrator",
        "agents",
        "actuators",
        "policy",
        "state",
        "ledger",
        *order[7:],
    ]
    assert order[7:] == ["valkey-server", "nats-server"]
    provost.until(lambda: not provost.processes(), "no process is left behind")
    assert not (provost.home / "run.json").exists()

    provost.start()
    assert provost.key("operator") == first_key
    assert provost.stop(signal.SIGTERM) == 0
    provost.until(lambda: not provost.processes(), "no process is left behind")


@pytest.mark.slow
def test_each_child_that_dies_is_started_again_and_said_so(provost: Embedded) -> None:
    provost.start()
    for name, pid in provost.run_json()["pids"].items():
        os.kill(pid, signal.SIGKILL)
        provost.until(lambda name=name: provost.restarts_of(name) == 1, f"{name} is ready again")  # type: ignore[misc]
        assert f"! {name} ended: killed by SIGKILL" in provost.output
        assert provost.run_json()["pids"][name] != pid
    assert set(provost.run_json()["pids"]) == EVERYONE
    assert provost.stop() == 0


@pytest.mark.slow
def test_a_killed_supervisor_leaves_nothing_behind(provost: Embedded) -> None:
    provost.start()
    assert len(provost.processes()) > len(EVERYONE)
    provost.kill()
    provost.until(lambda: not provost.processes(), "all processes are gone")
    provost.start()
    assert provost.stop() == 0


@pytest.mark.slow
def test_asked_to_stop_while_it_starts_it_stops(provost: Embedded) -> None:
    provost.begin()
    provost.until(lambda: "starting ledger" in provost.output, "services are starting")
    assert provost.stop() == 0
    assert "Stopped." in provost.output
    provost.until(lambda: not provost.processes(), "no process is left behind")


@pytest.mark.slow
def test_asked_twice_it_does_not_wait_for_one_that_hangs(provost: Embedded) -> None:
    provost.start()
    os.kill(provost.run_json()["pids"]["gateway"], signal.SIGSTOP)
    os.kill(provost.pid, signal.SIGINT)
    provost.until(lambda: "Provost stops" in provost.output, "it stops")
    assert provost.stop() != 0
    provost.until(lambda: not provost.processes(), "no process is left behind")
