"""An embedded run with a witness beside the ledger: its heads are cosigned, and status says how it stands."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.embedded.embedded import Embedded


@pytest.fixture
def provost(tmp_path: Path) -> Iterator[Embedded]:
    given = Embedded(tmp_path / "home", PROVOST_WITNESS="true")
    given.environment = {
        name: each for name, each in given.environment.items() if name != "PROVOST_METRICS_PORT"
    }
    yield given
    given.kill()
    given.until(lambda: not given.processes(), "all processes are gone")


def cli(provost: Embedded, *arguments: str) -> tuple[int, str]:
    command = [str(Path(sys.executable).parent / "provost"), *arguments]
    done = subprocess.run(
        command, env=provost.environment, capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stdout or done.stderr


def witness_of(provost: Embedded) -> Any:
    _, said = cli(provost, "status", "--json")
    found = [each for each in json.loads(said)["components"] if each["name"].startswith("witness")]
    return found[0] if found else None


@pytest.mark.slow
def test_a_witness_signs_what_the_ledger_signs(provost: Embedded, tmp_path: Path) -> None:
    provost.start()
    assert provost.run_json()["pids"]["witness"]
    _, vkey = cli(provost, "ledger", "witness-key")
    _, log_key = cli(provost, "ledger", "key")
    cli(provost, "policy", "show")
    code, said = cli(provost, "agents", "register", "sre-1", "--tier", "T1")
    assert code == 0, said

    def event() -> str:
        return str(json.loads(cli(provost, "ledger", "list", "--limit", "1", "--json")[1])[0]["event_id"])

    proof = tmp_path / "proof"

    def witnessed() -> bool:
        proof.write_text(cli(provost, "ledger", "prove", event())[1])
        demand = ["--key", log_key.strip(), "--witness", vkey.strip(), "--max-age", "600"]
        return cli(provost, "ledger", "check", str(proof), *demand)[0] == 0

    provost.until(witnessed, "the head is witnessed")
    provost.until(lambda: witness_of(provost)["healthy"], "status shows a witness that is well")

    os.kill(provost.run_json()["pids"]["witness"], signal.SIGKILL)
    provost.until_restarted("witness", 0)
    assert cli(provost, "agents", "register", "sre-2", "--tier", "T1")[0] == 0
    provost.until(witnessed, "the next head is witnessed")
    assert provost.stop() == 0
