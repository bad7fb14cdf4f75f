"""Secrets of an embedded run: made once, kept in `keys/` under `PROVOST_HOME`, readable by their owner alone."""

import json
from dataclasses import dataclass
from pathlib import Path

from chassis import files, process

API_ROLES = ("operator", "approver", "viewer", "auditor")
ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Keys:
    """What the processes of one run authenticate each other and their callers with."""

    internal: str
    store: str
    nats: str
    api: dict[str, str]
    api_file: Path

    def api_keys(self, given: str) -> str:
        """`API_KEYS` for the gateway: those the user gave, and one for each role."""
        made = [f"{role}:{self.api[role]}" for role in API_ROLES]
        return ",".join([*filter(None, (given.strip().strip(","),)), *made])

    def admin_keys(self, given: str) -> str:
        """`ADMIN_KEYS` for the gateway: those the user gave, and ours."""
        return ",".join([*filter(None, (given.strip().strip(","),)), self.api[ADMIN]])


def load_or_create(directory: Path) -> Keys:
    """The keys in `directory`; what is missing is made.

    Raises:
        PermissionError: others may read one of them.
        ValueError: the file of API keys is damaged.
    """
    files.private_directory(directory)
    api_file = directory / "api-keys.json"
    files.create_once(api_file, _new_api_keys)
    try:
        api = json.loads(files.read_secret(api_file))
        kept = {role: str(api[role]) for role in (*API_ROLES, ADMIN)}
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{api_file} is damaged ({error!r}); delete it to get new API keys") from error
    return Keys(
        internal=_secret(directory / "internal"),
        store=_secret(directory / "store"),
        nats=_secret(directory / "nats"),
        api=kept,
        api_file=api_file,
    )


def _new_api_keys() -> bytes:
    made = {role: f"pv_{role}_{process.new_secret(24)}" for role in (*API_ROLES, ADMIN)}
    return (json.dumps(made, indent=2) + "\n").encode()


def _secret(path: Path) -> str:
    files.create_once(path, lambda: process.new_secret().encode())
    return files.read_secret(path).decode()
