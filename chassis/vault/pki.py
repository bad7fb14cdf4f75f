"""Certificates from Vault's PKI: the authority never leaves it, and each service can have none but its own."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from chassis.tls.certificates import SPIFFE
from chassis.vault.client import Vault
from kernel.faults import Unavailable

MOUNT = "pki"
AUTHORITY_TTL = "87600h"
LONGEST_HOURS = 72


@dataclass(frozen=True, slots=True)
class Issued:
    """PEM: the certificate with its chain, its key, and the authority."""

    certificate: bytes
    key: bytes = field(repr=False)
    authority: bytes


async def make_ready(vault: Vault, services: Iterable[str]) -> None:
    """An authority, and for each service a role that issues certificates of its name alone. Safe to repeat.

    Raises:
        Refused, Unavailable (`VAULT_UNREACHABLE`): it is half done; repeat it.
    """
    mounts = ((await vault.read("sys/mounts")) or {})["data"]
    if f"{MOUNT}/" not in mounts:
        await vault.write(f"sys/mounts/{MOUNT}", {"type": "pki", "config": {"max_lease_ttl": AUTHORITY_TTL}})
    found = await vault.read(f"{MOUNT}/config/issuers")
    if not (found or {}).get("data", {}).get("default"):
        await vault.write(
            f"{MOUNT}/root/generate/internal",
            {"common_name": "provost authority", "key_type": "ec", "key_bits": 256, "ttl": AUTHORITY_TTL},
        )
    for service in services:
        await vault.write(f"{MOUNT}/roles/{service}", _role(service))


async def issue(vault: Vault, service: str, hours: float) -> Issued:
    """A new key and certificate for `service`.

    Raises:
        Unavailable (`VAULT_UNREACHABLE`): there is none to be had now, or for this service.
    """
    data = {
        "common_name": service,
        "alt_names": "localhost",
        "ip_sans": "127.0.0.1",
        "uri_sans": SPIFFE + service,
        "ttl": f"{int(hours * 3600)}s",
        "private_key_format": "pkcs8",
    }
    made = (await vault.write(f"{MOUNT}/issue/{service}", data)).get("data", {})
    try:
        chain = [made["certificate"], *(made.get("ca_chain") or [])]
        return Issued(
            _pem(*chain), _pem(made["private_key"]), _pem(*(made.get("ca_chain") or [made["issuing_ca"]]))
        )
    except KeyError as missing:
        raise Unavailable(
            "VAULT_UNREACHABLE", f"Vault issued no certificate for {service}: no {missing}"
        ) from None


def _role(service: str) -> dict[str, Any]:
    return {
        "allowed_domains": [service, "localhost"],
        "allow_bare_domains": True,
        "allow_subdomains": False,
        "allow_localhost": True,
        "allow_ip_sans": True,
        "allowed_uri_sans": [SPIFFE + service],
        "server_flag": True,
        "client_flag": True,
        "key_type": "ec",
        "key_bits": 256,
        "key_usage": ["DigitalSignature"],
        "max_ttl": f"{LONGEST_HOURS}h",
        "no_store": True,
    }


def _pem(*parts: str) -> bytes:
    return "".join(part.strip() + "\n" for part in parts).encode()
