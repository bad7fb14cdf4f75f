"""The compose cluster: brought up, scaled, hurt, and asked how it is."""

import os
import re
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.request import urlopen

from tests.system.cluster.engine import Engine
from tests.unit.house.skeleton import REPOSITORY

COMPOSE = REPOSITORY / ".venv-system" / "compose" / "docker-compose"
FILE = REPOSITORY / "deploy" / "compose.yaml"
SCALED = {"policy": 3, "state": 2, "ledger": 2, "orchestrator": 3, "gateway": 2}
UP_SECONDS = 60.0


class Stack:
    """One cluster, `project` by name; nothing of it is left when it is stopped."""

    def __init__(self, engine: Engine, project: str, place: Path) -> None:
        self.engine = engine
        self.project = project
        # Ports of the engine's choosing: others may run a cluster here.
        ports = {f"PROVOST_{each}": "127.0.0.1:" for each in ("HTTP_PORTS", "GRPC_PORTS", "PROMETHEUS_PORT")}
        engine.environment = {**engine.environment, **ports, "RATE_LIMIT_REQUESTS": "0"}
        # compose.yaml takes its secrets from beside it: a copy of the folder has its own.
        self._deploy = place / "deploy"
        subprocess.run(["cp", "-r", FILE.parent, self._deploy], check=True)
        subprocess.run(["rm", "-rf", self._deploy / "secrets"], check=True)
        self.engine.run(self._deploy / "secrets.sh", program="sh")
        self._file = self._deploy / FILE.name

    def compose(self, *arguments: str, timeout: float = 240) -> str:
        ours = ("--project-name", self.project, "--file", self._file)
        return self.engine.run(*ours, *arguments, program=str(COMPOSE), timeout=timeout)

    def up(self, scale: dict[str, int] | None = None, *more: str) -> float:
        """Bring it up and wait until all are healthy; seconds it took."""
        begun = time.monotonic()
        numbers = [part for name, number in (scale or {}).items() for part in ("--scale", f"{name}={number}")]
        self.compose("up", "--detach", "--wait", *numbers, *more)
        return time.monotonic() - begun

    def down(self) -> None:
        self.compose("down", "--volumes", "--timeout", "3")

    def key(self, role: str) -> str:
        """A caller's key."""
        found = re.search(rf"pv_{role}_\w+", (self._deploy / "secrets" / "gateway.env").read_text())
        assert found is not None
        return found[0]

    def containers(self, service: str) -> list[str]:
        """The ids of a service's containers that run."""
        return self.compose("ps", "--quiet", service).split()

    def addresses(self, service: str, port: int) -> list[tuple[str, int]]:
        """Where its containers are."""
        found = self.engine.inspect(self.containers(service))
        every = (net["IPAddress"] for each in found for net in each["NetworkSettings"]["Networks"].values())
        return [(address, port) for address in every if address]

    def kill(self, container: str) -> None:
        """kill -9, from outside: the engine takes it for a crash, and starts it again."""
        (found,) = self.engine.inspect([container])
        os.kill(found["State"]["Pid"], signal.SIGKILL)

    def health(self, container: str) -> str:
        (found,) = self.engine.inspect([container])
        return str(found["State"].get("Health", {}).get("Status", found["State"]["Status"]))

    def why(self, container: str) -> str:
        """What its last health check said."""
        (found,) = self.engine.inspect([container])
        log = found["State"].get("Health", {}).get("Log") or [{"Output": ""}]
        return str(log[-1]["Output"]).strip()

    def until_healthy(self, *services: str, seconds: float = 60.0) -> None:
        until = time.monotonic() + seconds
        while True:
            ill = [
                each for name in services for each in self.containers(name) if self.health(each) != "healthy"
            ]
            if not ill:
                return
            if time.monotonic() > until:
                said = "; ".join(f"{self.health(each)}: {self.why(each)}" for each in ill)
                logs = "\n".join(self.engine.tried("logs", "--tail", "20", each).stdout for each in ill)
                raise AssertionError(f"not healthy within {seconds} s: {said}\n{logs}")
            time.sleep(0.25)

    @contextmanager
    def cut_off(self, container: str) -> Iterator[None]:
        """Out of the network, and back under the names it had."""
        network = f"{self.project}_default"
        (found,) = self.engine.inspect([container])
        service = found["Config"]["Labels"]["com.docker.compose.service"]
        self.engine.run("network", "disconnect", network, container)
        try:
            yield
        finally:
            self.engine.run("network", "connect", "--alias", service, network, container)

    def nats_leader(self) -> str:
        """The node that leads the event log's stream."""
        for name in ("nats-1", "nats-2", "nats-3"):
            for host, port in self.addresses(name, 8222):
                with suppress(OSError), urlopen(f"http://{host}:{port}/jsz?streams=1", timeout=5) as answer:
                    found = re.search(
                        r'"name": "EVENTS".*?"leader": "(nats-\d)"', answer.read().decode(), re.DOTALL
                    )
                    if found:
                        return found[1]
        raise AssertionError("no node says who leads")

    def nats(self) -> tuple[str, ssl.SSLContext]:
        """Where the log is, and how an operator reads all of it from this machine."""
        volume = f"{self.project}_tls-operator"
        place = Path(self.engine.run("volume", "inspect", "--format", "{{.Mountpoint}}", volume))
        context = ssl.create_default_context(cafile=str(place / "ca.crt"))
        context.check_hostname = False  # its name is good inside; from here it has but an address
        context.load_cert_chain(place / "tls.crt", place / "tls.key")
        urls = [
            f"tls://{host}:{port}"
            for name in ("nats-1", "nats-2", "nats-3")
            for host, port in self.addresses(name, 4222)
        ]
        return ",".join(urls), context

    def cli(self, *arguments: str, role: str = "admin") -> str:
        """What the command line says at one of the gateways; raises RuntimeError when it fails."""
        host, port = self.addresses("gateway", 7000)[0]
        program = str(Path(sys.executable).parent / "provost")
        environment = {**os.environ, "PROVOST_ADDRESS": f"{host}:{port}", "PROVOST_API_KEY": self.key(role)}
        done = subprocess.run(
            [program, *arguments], env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        if done.returncode:
            raise RuntimeError(f"provost {' '.join(arguments)}: {done.stdout}{done.stderr}")
        return done.stdout
