"""Makes a Vault ready for Provost. Safe to repeat: what is there already stays, policies become what the files say.

Knows no service: which there are is said by the files in `policies/services`, one for each.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from chassis import files
from chassis.vault.client import Refused, Vault
from chassis.vault.entry import SERVICES_MOUNT
from chassis.vault.pki import make_ready

AGENTS_MOUNT = "agents"
POLICIES = Path(__file__).parents[2] / "deploy" / "vault" / "policies"
LONGEST_AGENT_TTL = "24h"
SERVICE_PERIOD = "1h"
"""A service renews its token as long as it runs; so long after its end there is nothing left of it."""
_NEW_ONLY = 0
_CREATE = "CREATE ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'"


@dataclass(frozen=True, slots=True)
class Postgres:
    """A database whose users Vault is to make, as members of `member_of`; `url` names its administrator."""

    url: str = field(repr=False)
    member_of: str
    name: str = "ledger"
    ttl: str = "1h"
    max_ttl: str = "24h"


async def bootstrap(
    vault: Vault,
    roles: Path,
    secrets: Mapping[str, Mapping[str, str]],
    postgres: Postgres | None = None,
    policies: Path = POLICIES,
    *,
    certificates: bool = False,
) -> None:
    """`vault` is started with a token that may do all this. `roles` is where what services log in with is put;
    `secrets` are written where there are none, by their names in KV. With `certificates` it is an authority, too.

    Raises:
        Refused, Unavailable (`VAULT_UNREACHABLE`): it is half done; repeat it.
    """
    await _mounts(vault)
    for name, text in _texts(policies).items():
        await vault.write(f"sys/policies/acl/{name}", {"policy": text})
    for name, text in _texts(policies / "services").items():
        await vault.write(f"sys/policies/acl/service-{name}", {"policy": text})
        await _service(vault, name, roles)
    for name, content in secrets.items():
        await _secret(vault, name, content)
    if postgres is not None:
        await _database(vault, postgres)
    if certificates:
        await make_ready(vault, _texts(policies / "services"))


async def initialise(vault: Vault, token_file: Path) -> None:
    """Initialise a `vault` that is new and whose seal opens itself; root's token is put into `token_file`. One that was
    initialised before is left as it is.

    Raises:
        Unavailable (`VAULT_UNREACHABLE`): it does not answer.
    """
    if await vault.initialised():
        return
    # The shares open nothing: they are for making another root's token, and that is kept anyway.
    made = await vault.write_as("", "sys/init", {"recovery_shares": 1, "recovery_threshold": 1})
    files.private_directory(token_file.parent)
    files.replace(token_file, str(made["root_token"]).encode())


def _texts(directory: Path) -> Mapping[str, str]:
    return {file.stem: file.read_text() for file in sorted(directory.glob("*.hcl"))}


async def _mounts(vault: Vault) -> None:
    auth = ((await vault.read("sys/auth")) or {})["data"]
    for mount in (AGENTS_MOUNT, SERVICES_MOUNT):
        if f"{mount}/" not in auth:
            await vault.write(f"sys/auth/{mount}", {"type": "approle"})
        # Role ids are no secrets, and nobody guesses 128 random bits: a lock would keep out only whom they belong to.
        await vault.write(f"sys/auth/{mount}/tune", {"user_lockout_config": {"lockout_disable": True}})
    # Whatever a role says: no token of an agent outlives what a policy set may say.
    await vault.write(f"sys/auth/{AGENTS_MOUNT}/tune", {"max_lease_ttl": LONGEST_AGENT_TTL})
    mounts = ((await vault.read("sys/mounts")) or {})["data"]
    if "secret/" not in mounts:
        await vault.write("sys/mounts/secret", {"type": "kv", "options": {"version": "2"}})


async def _service(vault: Vault, name: str, roles: Path) -> None:
    role = f"auth/{SERVICES_MOUNT}/role/{name}"
    content: Mapping[str, Any] = {
        "token_policies": f"service-{name}",
        "token_type": "service",
        "token_period": SERVICE_PERIOD,
        "bind_secret_id": True,
    }
    await vault.write(role, content)
    role_id = ((await vault.read(f"{role}/role-id")) or {})["data"]["role_id"]
    folder = Path(str(roles).format(service=name))
    role_id_file, secret_id_file = (folder / f"{name}.{half}" for half in ("role-id", "secret-id"))
    files.private_directory(role_id_file.parent)
    if secret_id_file.exists() and await _is_good(vault, role, secret_id_file.read_text().strip()):
        files.replace(role_id_file, role_id.encode())
        return
    made = (await vault.write(f"{role}/secret-id"))["data"]
    files.replace(role_id_file, role_id.encode())
    files.replace(secret_id_file, made["secret_id"].encode())


async def _is_good(vault: Vault, role: str, secret_id: str) -> bool:
    return "data" in await vault.write(f"{role}/secret-id/lookup", {"secret_id": secret_id})


async def _secret(vault: Vault, name: str, content: Mapping[str, str]) -> None:
    """Check-and-set: two who do this at once end with one and the same."""
    try:
        await vault.write(f"secret/data/{name}", {"data": dict(content), "options": {"cas": _NEW_ONLY}})
    except Refused:
        pass  # there is one


async def _database(vault: Vault, postgres: Postgres) -> None:
    mounts = ((await vault.read("sys/mounts")) or {})["data"]
    if "database/" not in mounts:
        await vault.write("sys/mounts/database", {"type": "database"})
    parts = urlsplit(postgres.url)
    where = parts._replace(netloc="{{username}}:{{password}}@" + parts.netloc.rpartition("@")[2]).geturl()
    await vault.write(
        f"database/config/{postgres.name}",
        {
            "plugin_name": "postgresql-database-plugin",
            "connection_url": where,
            "username": unquote(parts.username or ""),
            "password": unquote(parts.password or ""),
            "password_authentication": "scram-sha-256",
            "allowed_roles": [postgres.name],
        },
    )
    member_of = postgres.member_of.replace('"', '""')
    await vault.write(
        f"database/roles/{postgres.name}",
        {
            "db_name": postgres.name,
            "creation_statements": [_CREATE + f' IN ROLE "{member_of}"'],
            "revocation_statements": ['DROP ROLE IF EXISTS "{{name}}"'],
            "default_ttl": postgres.ttl,
            "max_ttl": postgres.max_ttl,
        },
    )
