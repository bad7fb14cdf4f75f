"""Where Provost is, and which key to show: flags, then the environment, then what a local run wrote into its home."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DEFAULT_PORT = "7000"


@dataclass(frozen=True, slots=True)
class Place:
    """`key` is empty when none was found. `local` says that a run on this machine has announced itself as `address`.

    `ca_file` is the authority that issued what the gateway shows, where it is not a public one.
    """

    address: str
    key: str
    local: bool
    ca_file: Path | None = None


def find(role: str, address: str | None = None, key: str | None = None) -> Place:
    """The gateway to call, and a key of `role` for it.

    A key on this machine is only shown to the run it belongs to: with an address of your own, give a key too.
    In the environment empty is not set, as with every setting.

    Raises:
        ValueError: an address or a key that was given is empty: somebody meant another than the one that is here. Or
            there are no certificates in PROVOST_CA_FILE.
    """
    for option, given in (("--address", address), ("--key", key)):
        if given is not None and not given.strip():
            raise ValueError(f"{option} was given, and is empty: give one, or leave it out.")
    home = _home()
    run = _read(home / "run.json")
    wanted = address or os.environ.get("PROVOST_ADDRESS", "")
    here = str(run.get("grpc") or f"127.0.0.1:{os.environ.get('PROVOST_GATEWAY_PORT') or DEFAULT_PORT}")
    shown = key or os.environ.get("PROVOST_API_KEY", "")
    if not shown and wanted in ("", here):
        keys = _read(Path(str(run.get("api_keys_file") or home / "keys" / "api-keys.json")))
        shown = str(keys.get(role, ""))
    authority = os.environ.get("PROVOST_CA_FILE", "")
    if authority:
        certificates_in(Path(authority), "PROVOST_CA_FILE")
    return Place(
        wanted or here, shown, bool(run) and wanted in ("", here), Path(authority) if authority else None
    )


def ended_here() -> bool:
    """Whether what has announced itself on this machine has ended without taking that back, as after `kill -9`.

    A run holds the lock of its home while it lives. False where that cannot be seen.
    """
    try:
        import fcntl

        with (_home() / "lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (ImportError, OSError):
        return False  # it is held, or not there, not ours to read, or this system knows no such lock
    return True


def certificates_in(file: Path, setting: str) -> bytes:
    """The certificates in a file, PEM. Raises ValueError: there are none; it names the `setting`."""
    try:
        found = file.read_bytes()
    except OSError as problem:
        raise ValueError(
            f"{setting}: {file} cannot be read ({problem.strerror}): name a file of certificates, PEM"
        ) from None
    if b"-----BEGIN CERTIFICATE-----" not in found:
        raise ValueError(f"{setting}: there is no certificate in {file}: name a file of certificates, PEM")
    return found


def _home() -> Path:
    return Path(os.environ.get("PROVOST_HOME") or ".provost")


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}  # not there, not ours to read, or being written: the same as none
    return found if isinstance(found, dict) else {}
