"""A whole Provost as `make run` starts it, on free ports and data of its own."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from chassis.config import ServiceSettings
from tests.fakes.process import free_port

REPOSITORY = Path(__file__).parents[3]
WAIT_SECONDS = 60.0


def environment(home: Path, **changes: str) -> Mapping[str, str]:
    """Our settings alone, on ports that are free."""
    aliases = (field.alias or "" for field in ServiceSettings.model_fields.values())
    ports = {alias: str(free_port()) for alias in aliases if alias.endswith("_PORT")}
    kept = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "PROVOST_HOME": str(home)}
    return kept | ports | {"PROVOST_METRICS_PORT": "0"} | changes


class Embedded:
    """`python -m chassis.embedded` in a session of its own."""

    def __init__(self, home: Path, **changes: str) -> None:
        self.home = home
        self.environment = environment(home, **changes)
        self.said: list[str] = []
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    def start(self) -> float:
        """Start it; returns the seconds until it said that it is up."""
        begun = time.monotonic()
        self.begin()
        self.until(lambda: "Provost is up" in self.output or self._process_ended(), "it is up")
        if "Provost is up" not in self.output:
            self.kill()
            raise AssertionError(self.output)
        return time.monotonic() - begun

    def begin(self) -> None:
        """Start it and wait for nothing."""
        self.said = []
        self._process = subprocess.Popen(
            [sys.executable, "-m", "chassis.embedded"],
            env=self.environment,
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()

    @property
    def output(self) -> str:
        return "".join(self.said)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def run_json(self) -> dict[str, Any]:
        read: dict[str, Any] = json.loads((self.home / "run.json").read_text())
        return read

    def key(self, role: str) -> str:
        return str(json.loads((self.home / "keys" / "api-keys.json").read_text())[role])

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Ask it to stop as a terminal does, the whole foreground group at once; returns its exit code."""
        assert self._process is not None
        os.killpg(self._process.pid, number)
        return self._process.wait(WAIT_SECONDS)

    def kill(self) -> None:
        """kill -9 of the supervisor alone. Harmless when it has ended."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def processes(self) -> dict[int, str]:
        """Every process that has to do with this data, by pid: it was told of it, or works in it."""
        found = {}
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                command = (entry / "cmdline").read_bytes()
                told = os.fsencode(f"PROVOST_HOME={self.home}") in (entry / "environ").read_bytes().split(
                    b"\0"
                )
                works_in = (entry / "cwd").readlink().is_relative_to(self.home)
            except OSError:
                continue
            if command and (told or works_in or os.fsencode(self.home) in command):
                found[int(entry.name)] = command.replace(b"\0", b" ").decode()
        return found

    def until(self, fact: Callable[[], bool], what: str) -> None:
        """Wait for `fact`."""
        end = time.monotonic() + WAIT_SECONDS
        while not fact():
            assert time.monotonic() < end, f"still not: {what}\n{self.output}"
            time.sleep(0.02)

    def restarts_of(self, name: str) -> int:
        return len(re.findall(rf"^  {name} is ready again", self.output, re.MULTILINE))

    def until_restarted(self, name: str, restarts: int) -> None:
        """Wait until `name` was started again more often than `restarts` times."""
        self.until(lambda: self.restarts_of(name) > restarts, f"{name} is started again")

    def _process_ended(self) -> bool:
        return self._process is not None and self._process.poll() is not None

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self.said.append(line)
