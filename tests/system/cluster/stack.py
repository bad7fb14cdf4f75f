"""The compose cluster: brought up, scaled, hurt, and asked how it is."""

import os
import re
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from tests.system.cluster.engine import Engine
from tests.unit.house.skeleton import REPOSITORY

COMPOSE = REPOSITORY / ".venv-system" / "compose" / "docker-compose"
FILE = REPOSITORY / "deploy" / "compose.yaml"
SCALED = {"policy": 3, "state": 2, "ledger": 2, "orchestrator": 3, "gateway": 2}
UP_SECONDS = 60.0
WELL = ("healthy", "running")
LOCKS = 0x70726F76
"""The first half of the number of a ledger's lock (`services.ledger.adapters.postgres.writer`)."""


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

    def names(self) -> dict[str, str]:
        """The containers that run, replicas in their order: id → service and number, as `policy 2`."""
        label = "com.docker.compose"
        labels = (f'{{{{.Label "{label}.{each}"}}}}' for each in ("service", "container-number"))
        form, ours = "\t".join(("{{.ID}}", *labels)), f"label={label}.project={self.project}"
        lines = self.engine.run("ps", "--no-trunc", "--filter", ours, "--format", form).splitlines()
        found = [
            (service, int(number), each) for each, service, number in (line.split("\t") for line in lines)
        ]
        return {each: f"{service} {number}" for service, number, each in sorted(found)}

    def containers(self, *services: str) -> list[str]:
        """The ids of those of these services, or of all."""
        return [
            each for each, name in self.names().items() if not services or name.rpartition(" ")[0] in services
        ]

    def addresses(self, service: str, port: int) -> list[tuple[str, int]]:
        """Where its containers are."""
        found = self.engine.inspect(self.containers(service))
        every = (net["IPAddress"] for each in found for net in each["NetworkSettings"]["Networks"].values())
        return [(address, port) for address in every if address]

    def kill(self, container: str) -> None:
        """kill -9, from outside: the engine takes it for a crash, and has started it again when this is over."""
        (found,) = self.engine.inspect([container])
        os.kill(found["State"]["Pid"], signal.SIGKILL)
        self._until(
            lambda: self._started(container) != found["State"]["StartedAt"], f"{container} stays dead", 30
        )

    def restart(self, *containers: str) -> None:
        """All of these at once, each told to stop first; they are started when this is over."""
        with ThreadPoolExecutor(len(containers)) as hands:
            list(hands.map(lambda each: self.engine.run("restart", "--time", "20", each), containers))

    def _started(self, container: str) -> str:
        (found,) = self.engine.inspect([container])
        return str(found["State"]["StartedAt"] if found["State"]["Running"] else found["State"]["Status"])

    def health(self, container: str) -> str:
        """As the engine says: `healthy` or not; what has no health check, whether it runs."""
        (found,) = self.engine.inspect([container])
        return _health(found)

    def why(self, container: str) -> str:
        """What its last health check said."""
        (found,) = self.engine.inspect([container])
        log = found["State"].get("Health", {}).get("Log") or [{"Output": ""}]
        return str(log[-1]["Output"]).strip()

    def says(self, container: str) -> str:
        """What a process of Provost's answers when it is asked how it is, as its health check asks it."""
        ask = ("exec", container, "python", "-S", "/opt/provost/chassis/healthy.py")
        return self.engine.tried(*ask).stdout.strip()

    def until_not_serving(self, containers: Sequence[str], seconds: float = 60.0) -> None:
        """Wait until each of them has said so. All are asked at once: an answer is as old as its question."""
        begun = time.monotonic()
        serving = list(containers)
        while serving:
            asked = time.monotonic()
            with ThreadPoolExecutor(len(serving)) as pool:
                said = dict(zip(serving, pool.map(self.says, serving), strict=True))
            serving = [each for each in serving if "not serving" not in said[each]]
            assert not serving or asked - begun < seconds, f"after {seconds} s they still say: {said}"
            time.sleep(0.1)

    def until_ill(self, containers: Sequence[str]) -> None:
        """Wait until the engine has taken them for ill as well: only then is `until_healthy` about what comes after."""
        self._until(
            lambda: all(_health(each) == "unhealthy" for each in self.engine.inspect(containers)),
            "the engine takes them for well",
            60,
        )

    def until_healthy(self, containers: Sequence[str], seconds: float = 60.0) -> float:
        """Wait until each of them is; seconds it took."""
        begun = time.monotonic()
        while ill := [each["Id"] for each in self.engine.inspect(containers) if _health(each) not in WELL]:
            if time.monotonic() - begun > seconds:
                said = "; ".join(f"{self.health(each)}: {self.why(each)}" for each in ill)
                logs = "\n".join(self.engine.tried("logs", "--tail", "20", each).stdout for each in ill)
                raise AssertionError(f"not healthy within {seconds} s: {said}\n{logs}")
            time.sleep(0.1)
        return time.monotonic() - begun

    @staticmethod
    def _until(fact: Callable[[], bool], otherwise: str, seconds: float) -> float:
        begun = time.monotonic()
        while not fact():
            assert time.monotonic() - begun < seconds, f"after {seconds} s: {otherwise}"
            time.sleep(0.1)
        return time.monotonic() - begun

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
        return self._of_the_log(r'"leader": "(nats-\d)"')

    def last_sequence(self) -> int:
        """Of the event log."""
        return int(self._of_the_log(r'"last_seq": (\d+)'))

    def _of_the_log(self, pattern: str) -> str:
        for name in ("nats-1", "nats-2", "nats-3"):
            for host, port in self.addresses(name, 8222):
                with suppress(OSError), urlopen(f"http://{host}:{port}/jsz?streams=1", timeout=5) as answer:
                    found = re.search(rf'"name": "EVENTS".*?{pattern}', answer.read().decode(), re.DOTALL)
                    if found:
                        return found[1]
        raise AssertionError("no node tells of the log")

    def active_ledger(self) -> str:
        """The ledger that writes: whoever holds the lock in PostgreSQL, by its address."""
        (database,) = self.containers("postgres")
        query = (
            "SELECT host(client_addr) FROM pg_locks JOIN pg_stat_activity USING (pid) "
            f"WHERE locktype = 'advisory' AND granted AND classid = {LOCKS} AND client_addr IS NOT NULL"
        )
        psql = 'PGPASSWORD="$(cat /run/secrets/postgres_password)" psql -h 127.0.0.1 -U postgres -d provost'
        ask = f'{psql} -Atc "{query}"'
        writers = set(self.engine.run("exec", database, "sh", "-c", ask).split())
        found = [
            each["Id"]
            for each in self.engine.inspect(self.containers("ledger"))
            if writers & {net["IPAddress"] for net in each["NetworkSettings"]["Networks"].values()}
        ]
        assert len(found) == 1, f"{len(found)} ledgers hold the lock: {writers}"
        return str(found[0])

    def nats(self) -> tuple[str, ssl.SSLContext]:
        """Where the log is, and how an operator reads all of it from this machine."""
        urls = [
            f"tls://{host}:{port}"
            for name in ("nats-1", "nats-2", "nats-3")
            for host, port in self.addresses(name, 4222)
        ]
        return ",".join(urls), self.trusting("operator", shown=True)

    def trusting(self, service: str, *, shown: bool) -> ssl.SSLContext:
        """The cluster's authority is believed from this machine, and the certificate of `service` `shown` or not."""
        volume = f"{self.project}_tls-{service}"
        place = Path(self.engine.run("volume", "inspect", "--format", "{{.Mountpoint}}", volume))
        context = ssl.create_default_context(cafile=str(place / "ca.crt"))
        context.check_hostname = False  # its name is good inside; from here it has but an address
        if shown:
            context.load_cert_chain(place / "tls.crt", place / "tls.key")
        return context

    def database(self) -> str:
        """Its URL from this machine, as its administrator."""
        ((host, port),) = self.addresses("postgres", 5432)
        password = (self._deploy / "secrets" / "postgres_password").read_text()
        return f"postgresql://postgres:{password}@{host}:{port}/provost"

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


def _health(found: Mapping[str, Any]) -> str:
    state = found["State"]
    if not state["Running"]:
        return str(state["Status"])
    return str(state.get("Health", {}).get("Status", state["Status"]))
