"""The embedded run with an OpenBao of its own: everything works, and no process is told a secret."""

import json
import os
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chassis.embedded.services import MODULES
from tests.e2e.conftest import client
from tests.e2e.embedded.embedded import Embedded
from tests.e2e.test_main_job import LOG, process
from tests.fakes.process import free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def provost(tmp_path: Path) -> Iterator[Embedded]:
    port = str(free_port())
    given = Embedded(tmp_path / "home", PROVOST_VAULT="1", PROVOST_VAULT_PORT=port, RATE_LIMIT_REQUESTS="0")
    yield given
    given.kill()
    given.until(lambda: not given.processes(), "all processes are gone")


def ask(provost: Embedded, path: str) -> dict[str, Any]:
    """What OpenBao says to root."""
    token = (provost.home / "keys" / "vault" / "root.token").read_text()
    url = f"http://127.0.0.1:{provost.environment['PROVOST_VAULT_PORT']}/v1/{path}"
    with urllib.request.urlopen(urllib.request.Request(url, headers={"X-Vault-Token": token})) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def governed(provost: Embedded) -> None:
    with client(provost, "operator") as operator:
        answer = process(operator, LOG)
    assert answer.status_code == 200, answer.text
    assert answer.json()["outcome"]["effects"], answer.text


def test_everything_works_with_it_and_no_process_is_told_a_secret(provost: Embedded) -> None:
    provost.start()
    governed(provost)
    roles = ask(provost, "auth/agents/role?list=true")["data"]["keys"]
    assert {name.split(".")[2] for name in roles} == {f"sre-{n}" for n in range(1, 9)}

    keys = provost.home / "keys"
    secrets = [(keys / name).read_bytes() for name in ("internal", "store", "nats")]
    secrets += [(keys / "vault" / "root.token").read_bytes()]
    secrets += [file.read_bytes() for file in (keys / "vault").glob("*.secret-id")]
    pids = provost.run_json()["pids"]
    assert set(pids) == {"nats-server", "valkey-server", "openbao", *MODULES}
    for name in MODULES:
        told = Path(f"/proc/{pids[name]}/environ").read_bytes()
        assert b"VAULT_URL=http" in told
        assert not [each for each in secrets if each in told], name
    said = b"".join(file.read_bytes() for file in (provost.home / "logs").glob("*.log"))
    assert not [each for each in secrets if each in said]
    assert not [each for each in secrets if each.decode() in provost.output]

    os.kill(pids["openbao"], signal.SIGKILL)
    provost.until(lambda: provost.restarts_of("openbao") == 1, "openbao is ready again")
    os.kill(provost.run_json()["pids"]["policy"], signal.SIGKILL)
    provost.until(lambda: provost.restarts_of("policy") == 1, "policy is ready again")
    governed(provost)
    assert provost.stop(signal.SIGINT) == 0
    provost.until(lambda: not provost.processes(), "no process is left behind")

    provost.start()
    assert set(roles) == set(ask(provost, "auth/agents/role?list=true")["data"]["keys"])
    governed(provost)
    assert provost.stop(signal.SIGTERM) == 0


def test_another_vault_beside_it_is_refused(provost: Embedded) -> None:
    provost.environment = {**provost.environment, "VAULT_URL": "http://127.0.0.1:1"}
    provost.begin()
    provost.until(lambda: "VAULT_URL names another Vault" in provost.output, "it says what is wrong")
    assert "PROVOST_VAULT" in provost.output
    provost.until(lambda: not provost.processes(), "it has ended")
