"""`python -m chassis.vault`: makes the Vault at `VAULT_URL` ready for Provost; safe to repeat.

It asks with an administrator's token from a file, and puts what each service logs in with into files of its own.
"""

import argparse
import asyncio
from pathlib import Path

from chassis import process
from chassis.config import ServiceSettings, load
from chassis.vault.bootstrap import POLICIES, Postgres, bootstrap, initialise
from chassis.vault.client import Vault
from chassis.vault.entry import TokenFile, read
from chassis.vault.taking import INTERNAL, LOG, STORE
from kernel.faults import Unavailable


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m chassis.vault", description=__doc__)

    def file(name: str, said: str, *, required: bool = False) -> None:
        parser.add_argument(name, type=Path, metavar="FILE", help=said, required=required)

    file("--token-file", "a token that may do all this, as root's", required=True)
    parser.add_argument(
        "--init",
        action="store_true",
        help="initialise it when it is new; root's token is put into --token-file",
    )
    parser.add_argument(
        "--roles",
        type=Path,
        metavar="DIR",
        help="where what services log in with is put; {service}: a folder each",
    )
    parser.add_argument("--policies", type=Path, metavar="DIR", default=POLICIES)
    file("--nats-url-file", "what opens the event log, with its password")
    file("--store-url-file", "what opens the store, with its password")
    file("--postgres-url-file", "the ledger's database, with its administrator")
    parser.add_argument("--postgres-role", metavar="ROLE", help="the ledger's role, whose members are made")
    parser.add_argument(
        "--certificates",
        action="store_true",
        help="make it the authority that services' certificates are from",
    )
    return parser.parse_args()


async def prepare(settings: ServiceSettings, asked: argparse.Namespace) -> None:
    secrets = {INTERNAL: {"key": settings.internal_key.get_secret_value() or process.new_secret()}}
    for name, file in ((LOG, asked.nats_url_file), (STORE, asked.store_url_file)):
        if file is not None:
            secrets[name] = {"url": read(file)}
    postgres = None
    if asked.postgres_url_file is not None:
        postgres = Postgres(read(asked.postgres_url_file), asked.postgres_role)
    vault = Vault(settings.vault_url, TokenFile(asked.token_file), settings.vault_ca_file)
    try:
        if asked.init:
            await initialise(vault, asked.token_file)
        await vault.start()
        roles = asked.roles or settings.vault_role_id_file.parent
        await bootstrap(
            vault,
            settings.within_home(roles),
            secrets,
            postgres,
            asked.policies,
            certificates=asked.certificates,
        )
    finally:
        await vault.stop()


def main() -> None:
    asked = arguments()
    settings = load(ServiceSettings)
    if not settings.vault_url:
        raise SystemExit("VAULT_URL is not set: it says which Vault is to be made ready")
    if (asked.postgres_url_file is None) != (asked.postgres_role is None):
        raise SystemExit("--postgres-url-file and --postgres-role belong together")
    try:
        asyncio.run(prepare(settings, asked))
    except Unavailable as fault:
        raise SystemExit(fault.text) from None
    print(f"Vault at {settings.vault_url} is ready for Provost.")  # noqa: T201 - a command for people


if __name__ == "__main__":
    main()
