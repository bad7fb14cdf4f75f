"""The witness as it really runs: a process of its own."""

import json
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tests.fakes.process import ServerProcess, free_port

# Dies at the worst moment: the head is on the disk, its signature has not left.
DIES_BEFORE_IT_SIGNS = """
import os, signal
from services.ledger.witness import __main__, key
key.WitnessKey.cosign = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
__main__.process.run(__main__.main)
"""


class WitnessProcess(ServerProcess):
    """`python -m services.ledger.witness`, which trusts the keys in `keys`."""

    def __init__(self, home: Path, keys: Path, *, dies: bool = False, port: int = 0) -> None:
        self.home = home
        port = port or free_port()
        settings = {
            "PROVOST_HOME": str(home),
            "PROVOST_WITNESS_PORT": str(port),
            "PROVOST_WITNESS_LOGS": f"@{keys}",
        }
        told = [f"{name}={value}" for name, value in settings.items()]
        home.mkdir(parents=True, exist_ok=True)
        how = ["-c", DIES_BEFORE_IT_SIGNS] if dies else ["-m", "services.ledger.witness"]
        super().__init__(["env", *told, sys.executable, *how], port, home / "witness.log", self._healthy)

    @property
    def setting(self) -> str:
        """As the ledger is told of it."""
        return f"http://127.0.0.1:{self.port} @{self.home / 'witness' / 'vkey'}"

    @property
    def vkey(self) -> str:
        return (self.home / "witness" / "vkey").read_text().strip()

    def restore(self, checkpoint: Path) -> str:
        """Make its memory anew from a checkpoint; what is said."""
        command = [*self._command, "restore", str(checkpoint)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def heads(self) -> Any:
        return json.loads(self._get("/heads"))

    def size(self) -> int:
        """The size of the head it signed last."""
        return max((each["size"] for each in self.heads()["heads"]), default=0)

    def stored(self) -> int:
        """The size in its memory, read behind its back once it is dead."""
        db = sqlite3.connect(self.home / "witness" / "heads.db")
        (size,) = db.execute("SELECT max(size) FROM heads").fetchone()
        db.close()
        return int(size)

    def has_ended(self) -> bool:
        return self._running().poll() is not None

    def _healthy(self) -> bool:
        try:
            return self._get("/healthz") == b"ok\n"
        except (OSError, urllib.error.URLError):
            return False

    def _get(self, path: str) -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
            return bytes(answer.read())
