"""The place under `PROVOST_HOME`: held by one run at a time, which says in `run.json` where it can be found."""

import fcntl
import json
import os
from pathlib import Path
from typing import IO, Self

from chassis import files
from chassis.config import ServiceSettings


class Occupied(Exception):
    """Another run holds this place; the text says which."""


class Place:
    """A data directory, held while the process lives (flock(2) is given up by the kernel, also after kill -9)."""

    def __init__(self, home: Path) -> None:
        self.home = files.private_directory(home).resolve()
        self.logs = files.private_directory(self.home / "logs")
        self.run_file = self.home / "run.json"
        self._lock: IO[str] | None = None

    def __enter__(self) -> Self:
        """Take it.

        Raises:
            Occupied: another run holds it.
        """
        lock = (self.home / "lock").open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Occupied(self._who()) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        self._lock = lock
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            self.run_file.unlink(missing_ok=True)
            self._lock.close()

    def announce(self, settings: ServiceSettings, api_keys: Path, pids: dict[str, int]) -> None:
        """Write `run.json`: addresses, where the API keys are, and who runs."""
        told = {
            "pid": os.getpid(),
            "http": f"http://127.0.0.1:{settings.http_port}",
            "grpc": f"127.0.0.1:{settings.gateway_port}",
            "api_keys_file": str(api_keys),
            "home": str(self.home),
            "pids": pids,
        }
        files.replace(self.run_file, (json.dumps(told, indent=2) + "\n").encode())

    def _who(self) -> str:
        pid = (self.home / "lock").read_text().strip() or "unknown"
        try:
            where = f" at {json.loads(self.run_file.read_text())['http']}"
        except (OSError, ValueError, KeyError):
            where = ""  # it is still starting, or was killed while it wrote
        return (
            f"Provost already runs on this data ({self.home}){where}: pid {pid}.\n"
            f"Stop it with Ctrl-C in its terminal or `kill {pid}`. "
            "For a second one beside it, set PROVOST_HOME and the ports."
        )
