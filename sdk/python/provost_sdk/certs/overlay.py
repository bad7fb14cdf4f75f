"""A WireGuard overlay for hosts that share no network: a file for each host, as `wg-quick` reads it.

Every host has a key of its own, every two a preshared one besides; each knows all others. What was made is kept in
`overlay.json`, so that hosts can be added later without changing those that are there.
"""

import ipaddress
import json
import os
import re
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from provost_sdk.certs.authority import CertificateError, put

PORT = 51820
KEEPALIVE_SECONDS = 25  # shorter than what firewalls remember
STATE = "overlay.json"
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_ENDPOINT = re.compile(r"([A-Za-z0-9.-]+|\[[0-9a-fA-F:]+\])(:[0-9]{1,5})?")


@dataclass(frozen=True, slots=True)
class Host:
    """`endpoint` is `address:port`, where others reach it; empty: it calls, and is not called."""

    name: str
    endpoint: str
    address: str
    private: str = field(repr=False)

    @property
    def public(self) -> str:
        """Base64, as everything WireGuard reads."""
        return b64encode(
            X25519PrivateKey.from_private_bytes(b64decode(self.private)).public_key().public_bytes_raw()
        ).decode()


def make(directory: Path, hosts: Mapping[str, str], network: str = "10.88.0.0/24") -> list[Host]:
    """The files of all hosts: those that were made before, and `hosts` (endpoints by name), new or moved.

    Raises:
        CertificateError: a name, endpoint or network that is none; no room in the network; nobody can be called.
    """
    for name, endpoint in hosts.items():
        if not _NAME.fullmatch(name):
            raise CertificateError(f"{name!r} is no name of a host: letters, digits and hyphens")
        if endpoint and not _ENDPOINT.fullmatch(endpoint):
            raise CertificateError(
                f"{endpoint!r} is no endpoint: as 203.0.113.7, edge.example.org:51820, or [2001:db8::7]"
            )
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    kept = _kept(directory / STATE)
    known: dict[str, Any] = kept["hosts"]
    try:
        addresses = ipaddress.ip_network(kept.get("network", network))
    except ValueError as problem:
        raise CertificateError(f"--network: {problem}") from None
    free = (
        str(each)
        for each in addresses.hosts()
        if str(each) not in {host["address"] for host in known.values()}
    )
    for name, endpoint in hosts.items():
        if name not in known:
            address = next(free, "")
            if not address:
                raise CertificateError(
                    f"{addresses} has no room for {name}: begin anew with a wider --network"
                )
            known[name] = {
                "address": address,
                "private": b64encode(X25519PrivateKey.generate().private_bytes_raw()).decode(),
            }
        known[name]["endpoint"] = (
            endpoint if not endpoint or re.search(r":\d+$", endpoint) else f"{endpoint}:{PORT}"
        )
    if not any(each["endpoint"] for each in known.values()):
        raise CertificateError(
            "nobody can be called: give at least one host an address, as --host edge=203.0.113.7"
        )
    made = [
        Host(name, each["endpoint"], each["address"], each["private"]) for name, each in sorted(known.items())
    ]
    for one in made:
        for other in made:
            if one.name < other.name:
                kept["preshared"].setdefault(f"{one.name} {other.name}", b64encode(os.urandom(32)).decode())
    kept["network"] = str(addresses)
    put(directory / STATE, json.dumps(kept, indent=2).encode())
    for host in made:
        put(
            directory / f"{host.name}.conf",
            _text(host, made, kept["preshared"], addresses.prefixlen).encode(),
        )
    put(directory / "hosts", "".join(f"{each.address} {each.name}\n" for each in made).encode(), mode=0o644)
    return made


def _text(host: Host, hosts: list[Host], preshared: Mapping[str, str], prefix: int) -> str:
    port = host.endpoint.rpartition(":")[2] or str(PORT)
    lines = [
        f"# {host.name}: put this into /etc/wireguard/provost.conf there, then `wg-quick up provost`.",
        "[Interface]",
        f"Address = {host.address}/{prefix}",
        f"ListenPort = {port}",
        f"PrivateKey = {host.private}",
    ]
    for other in hosts:
        if other is host or not (host.endpoint or other.endpoint):
            continue
        lines += [
            "", f"# {other.name}", "[Peer]",
            f"PublicKey = {other.public}",
            f"PresharedKey = {preshared[' '.join(sorted((host.name, other.name)))]}",
            f"AllowedIPs = {other.address}/{32 if ':' not in other.address else 128}",
        ]  # fmt: skip
        if other.endpoint:
            lines += [f"Endpoint = {other.endpoint}", f"PersistentKeepalive = {KEEPALIVE_SECONDS}"]
    return "\n".join(lines) + "\n"


def _kept(file: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(file.read_text())
    except FileNotFoundError:
        return {"hosts": {}, "preshared": {}}
    except (OSError, ValueError) as problem:
        raise CertificateError(f"{file} cannot be read: {problem}") from None
    return found
