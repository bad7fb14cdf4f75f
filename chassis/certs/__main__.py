"""`python -m chassis.certs SERVICE…`: keeps the certificates of these services fresh, from the Vault at `VAULT_URL`.

Each is asked for in the service's own name, with its AppRole, and put where `PROVOST_TLS_CERT_FILE` and the others say.
Without Vault: `provost certs renew DIR --all --keep`.
"""

import argparse
import asyncio
from functools import partial

from chassis import process, telemetry
from chassis.certs.keeping import Keeping
from chassis.config import ServiceSettings, load
from chassis.vault.client import Vault
from chassis.vault.pki import LONGEST_HOURS, Issued, issue
from chassis.vault.taking import entry_of


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m chassis.certs", description=__doc__)
    parser.add_argument("services", nargs="+", metavar="SERVICE")
    parser.add_argument(
        "--hours", type=float, default=24.0, help=f"how long one is good, {LONGEST_HOURS} at most"
    )
    parser.add_argument("--once", action="store_true", help="issue what is due, and end")
    return parser.parse_args()


async def keep(settings: ServiceSettings, asked: argparse.Namespace, stopping: process.Stopping) -> None:
    vaults, keeping = [], []
    for service in asked.services:
        files = settings.tls_files(service)
        assert files is not None
        vault = Vault(settings.vault_url, entry_of(settings, service), settings.vault_ca_file)
        vaults.append(vault)
        keeping.append(Keeping(service, files, partial(_issued, vault, service, asked.hours)))
    try:
        if asked.once:
            for each in keeping:
                await each.once()
        else:
            await stopping.ends(_all(keeping))
    finally:
        for vault in vaults:
            await vault.stop()


async def _issued(vault: Vault, service: str, hours: float) -> Issued:
    if vault.trouble:
        await vault.start()
    return await issue(vault, service, hours)


async def _all(keeping: list[Keeping]) -> None:
    await asyncio.gather(*(each.for_ever() for each in keeping))


def main() -> None:
    asked = arguments()
    settings = load(ServiceSettings)
    telemetry.configure("certs", settings)
    if not settings.vault_url:
        raise SystemExit("VAULT_URL is not set; without Vault: provost certs renew DIR --all --keep")
    if settings.tls_files("any") is None:
        raise SystemExit(
            "PROVOST_TLS_CERT_FILE and the others are not set: they say where certificates are put"
        )
    process.run(partial(keep, settings, asked))


if __name__ == "__main__":
    main()
