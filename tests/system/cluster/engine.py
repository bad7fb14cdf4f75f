"""A Docker Engine of the tests' own: started when `DOCKER_HOST` names none, its images kept for the next time."""

import fcntl
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import httpx2 as httpx

KEPT = Path.home() / ".cache" / "provost-tests"
START_SECONDS = 30.0
STOP_SECONDS = 60.0
_USUAL = Path("/var/run/docker.sock")


class Engine:
    """Commands of `docker` against one engine."""

    def __init__(
        self, host: str, started: "subprocess.Popen[bytes] | None" = None, place: Path | None = None
    ) -> None:
        self.host = host
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
        _may_start()
        KEPT.mkdir(parents=True, exist_ok=True)
        with _alone() as held:
            place = Path(tempfile.mkdtemp(prefix="provost-docker-"))
            engine = cls(f"unix://{place}/docker.sock", _dockerd(place, held), place)
        try:
            engine._answers()
            engine._emptied()
        except BaseException:
            engine.stop()
            raise
        return engine

    def _answers(self) -> None:
        assert self._started is not None
        assert self._place is not None
        until = time.monotonic() + START_SECONDS
        while self.tried("version").returncode:
            if self._started.poll() is not None or time.monotonic() > until:
                said = (self._place / "log").read_text()[-2000:]
                raise RuntimeError(f"dockerd does not start (exit code {self._started.returncode}): {said}")
            time.sleep(0.1)
        if self.run("info", "--format", "{{.Driver}}") == "vfs":
            raise RuntimeError(
                f"no overlay file system can be made in {KEPT}: each container would be a copy of its whole image"
                " (a HOME on a disk of its own, or DOCKER_HOST, helps)"
            )

    def _emptied(self) -> None:
        """Without what a run that was killed left in it: containers would have come back with it."""
        if left := self.run("ps", "--all", "--quiet").split():
            self.run("rm", "--force", "--volumes", *left)
        if left := self.run("volume", "ls", "--quiet").split():
            self.run("volume", "rm", "--force", *left)
        self.run("network", "prune", "--force")

    def stop(self) -> None:
        """End what was started here, by its process; an engine that was there is left as it is."""
        if self._started is None:
            return
        if self._started.poll() is None:
            self.tried("network", "prune", "--force")  # else their bridges stay on the machine
        self._started.terminate()
        try:
            self._started.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._started.kill()
            self._started.wait()
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

    def processor_seconds(self, containers: Sequence[str]) -> list[tuple[float, datetime]]:
        """What each has used so far, and when it was read: one after the other, which takes a while.

        As the engine counts it, whatever version of control groups the machine has.
        """
        scheme, _, where = self.host.partition("://")
        unix = where if scheme == "unix" else None
        with httpx.Client(
            transport=httpx.HTTPTransport(uds=unix),
            base_url="http://engine" if unix else f"http://{where}",
            timeout=10,
        ) as api:
            every = [
                api.get(f"/containers/{each}/stats", params={"stream": "false", "one-shot": "true"})
                .raise_for_status()
                .json()
                for each in containers
            ]
        return [
            (each["cpu_stats"]["cpu_usage"]["total_usage"] / 1e9, datetime.fromisoformat(each["read"]))
            for each in every
        ]


def _may_start() -> None:
    missing = [each for each in ("dockerd", "iptables", "docker") if shutil.which(each) is None]
    if missing:
        wanted = f"{', '.join(missing)} are missing (Debian: docker.io, iptables)"
    elif os.geteuid() != 0:
        wanted = "only root may"
    elif _USUAL.exists() and Engine(f"unix://{_USUAL}").tried("version").returncode == 0:
        # Two would share one firewall, and each takes the rules of the other away.
        wanted = f"one runs at {_USUAL} already, and a machine has room for one"
    else:
        return
    raise RuntimeError(
        f"no Docker Engine: DOCKER_HOST names none, and none can be started: {wanted}. Name one by DOCKER_HOST "
        "(the tests put their images there, under the tags of deploy/compose.yaml), or run them where they may."
    )


def _alone() -> IO[str]:
    """Held for as long as the engine runs, even if the tests are killed: two cannot share one folder of images."""
    held = (KEPT / "docker.lock").open("a+")
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        held.close()
        pid = (KEPT / "docker.pid").read_text() if (KEPT / "docker.pid").exists() else "unknown"
        raise RuntimeError(
            f"an engine of these tests runs already, or was left behind (process {pid}, {KEPT / 'docker.lock'}): "
            "wait for it, or end that process"
        ) from None
    return held


def _dockerd(place: Path, held: IO[str]) -> "subprocess.Popen[bytes]":
    pid = KEPT / "docker.pid"
    pid.unlink(missing_ok=True)  # who wrote it is gone: the lock is ours
    options = {
        "data-root": KEPT / "docker",
        "exec-root": place / "exec",
        "pidfile": pid,
        "host": f"unix://{place}/docker.sock",
        # Every container here is on a network of compose's, whose addresses the engine chooses beside those that the
        # machine has routes to: without a bridge of its own there is no address that could clash.
        "bridge": "none",
    }
    command = ["dockerd", *(f"--{name}={value}" for name, value in options.items())]
    with (place / "log").open("wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, pass_fds=[held.fileno()])
