"""What a process shows Vault to be let in. Read anew for every login, so that it can be changed while it runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from kernel.faults import Unavailable

SERVICES_MOUNT = "services"
"""Where services log in (AppRole). Agents have a mount of their own: whoever keeps their roles cannot touch these."""


class Entry(Protocol):
    def token(self) -> str:
        """A token that there is already; empty: log in.

        Raises:
            Unavailable (`VAULT_UNREACHABLE`): what is to be shown cannot be read.
        """
        ...

    def login(self) -> tuple[str, Mapping[str, str]]:
        """The path to log in at, and with what. Raises as `token` does."""
        ...


@dataclass(frozen=True, slots=True)
class AppRole:
    """A role's two halves, each in a file."""

    role_id_file: Path
    secret_id_file: Path
    mount: str = SERVICES_MOUNT

    def token(self) -> str:
        return ""

    def login(self) -> tuple[str, Mapping[str, str]]:
        shown = {"role_id": read(self.role_id_file), "secret_id": read(self.secret_id_file)}
        return f"auth/{self.mount}/login", shown


@dataclass(frozen=True, slots=True)
class TokenFile:
    """A token that somebody else keeps fresh, such as Vault's agent."""

    file: Path

    def token(self) -> str:
        return read(self.file)

    def login(self) -> tuple[str, Mapping[str, str]]:
        raise Unavailable("VAULT_UNREACHABLE", f"the token in {self.file} is not good (any more)")


def read(file: Path) -> str:
    """Raises Unavailable: there is no such file, or nothing in it."""
    try:
        said = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as problem:
        why = problem.strerror if isinstance(problem, OSError) else "it is not text"
        text = f"{file} cannot be read ({why}); `python -m chassis.vault` makes the files that processes log in with"
        raise Unavailable("VAULT_UNREACHABLE", text) from None
    if not said:
        raise Unavailable("VAULT_UNREACHABLE", f"{file} is empty")
    return said
