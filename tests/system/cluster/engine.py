"""A Docker Engine of the tests' own: started when `DOCKER_HOST` names none, its images kept for the next time."""

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

KEPT = Path.home() / ".cache" / "provost-tests" / "docker"
START_SECONDS = 30.0


class Engine:
    """Commands of `docker` against one engine."""

    def __init__(
        self, host: str, started: "subprocess.Popen[bytes] | None" = None, place: Path | None = None
    ) -> None:
        self.environment: Mapping[str, str] = {**os.environ, "DOCKER_HOST": host, "DOCKER_BUILDKIT": "0"}
        self._started = started
        self._place = place

    @classmethod
    def there(cls) -> "Engine":
        """The one that `DOCKER_HOST` names, or one that is started.

        Raises:
            RuntimeError: there is none, and what is missing to start one.
        """
        if host := os.environ.get("DOCKER_HOST"):
            engine = cls(host)
            engine.run("version")
            return engine
        missing = [each for each in ("dockerd", "iptables", "docker") if shutil.which(each) is None]
        if missing or os.geteuid() != 0:
            need = f"{', '.join(missing)} (Debian: docker.io, iptables)" if missing else "root"
            raise RuntimeError(
                f"no Docker Engine: set DOCKER_HOST, or start as one who may: {need} is missing"
            )
        place = Path(tempfile.mkdtemp(prefix="provost-docker-"))
        host = f"unix://{place}/docker.sock"
        KEPT.mkdir(parents=True, exist_ok=True)
        options = {"data-root": KEPT, "exec-root": place / "exec", "pidfile": place / "pid", "host": host}
        command = [
            "dockerd",
            "--bip=172.30.0.1/24",
            *(f"--{name}={value}" for name, value in options.items()),
        ]
        with (place / "log").open("wb") as log:
            started = subprocess.Popen(command, stdout=log, stderr=log)
        engine = cls(host, started, place)
        until = time.monotonic() + START_SECONDS
        while engine.tried("version").returncode:
            if started.poll() is not None or time.monotonic() > until:
                engine.stop()
                raise RuntimeError(f"dockerd does not start: {(place / 'log').read_text()[-2000:]}")
            time.sleep(0.1)
        return engine

    def stop(self) -> None:
        if self._started is None:
            return
        self._started.terminate()
        self._started.wait(60)
        if self._place is not None:
            shutil.rmtree(self._place, ignore_errors=True)

    def tried(
        self, *arguments: str | Path, timeout: float = 300, program: str = "docker"
    ) -> "subprocess.CompletedProcess[str]":
        command = [program, *map(str, arguments)]
        return subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=timeout, check=False
        )

    def run(self, *arguments: str | Path, timeout: float = 300, program: str = "docker") -> str:
        """What the command says; raises RuntimeError with all of it when it fails."""
        done = self.tried(*arguments, timeout=timeout, program=program)
        if done.returncode:
            said = (done.stdout + done.stderr)[-4000:]
            raise RuntimeError(f"{Path(program).name} {' '.join(map(str, arguments))[:200]}: {said}")
        return done.stdout.strip()

    def inspect(self, names: Sequence[str]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.run("inspect", *names)) if names else []
        return found
