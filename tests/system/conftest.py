"""A real ledger behind a real gateway, and a program in Go that reads the log over HTTP; a whole Provost, and clients
in other languages."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conformance import given
from tests.e2e.embedded.embedded import REPOSITORY, Embedded
from tests.fakes.doors import ADMIN
from tests.integration.log.conftest import Log, events, log, nats_server, valkey_server
from tests.system.cluster.figures import Figures
from tests.system.helm.chart import helm

__all__ = ["events", "helm", "log", "nats_server", "valkey_server"]

SOURCE = Path(__file__).with_name("tlog_client") / "main.go"

FIGURES = pytest.StashKey[Figures]()

Reading = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def figures(pytestconfig: pytest.Config) -> Figures:
    """Where the cluster's test puts what it measures."""
    return pytestconfig.stash.setdefault(FIGURES, Figures())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    measured = config.stash.get(FIGURES, None)
    if measured is not None:
        terminalreporter.section("the cluster, measured")
        terminalreporter.write_line(measured.table())
        measured.write()


@pytest.fixture(scope="session")
def client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, built from Debian's packages alone."""
    place = tmp_path_factory.mktemp("go")
    program = place / "tlog_client"
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(place),
        "GOCACHE": str(place / "cache"),
        "GOPATH": "/usr/share/gocode",
        "GO111MODULE": "off",
        "GOFLAGS": "",
    }
    subprocess.run(["go", "build", "-o", program, SOURCE], env=environment, check=True, timeout=300)
    return program


@pytest.fixture
def read(log: Log, client: Path, tmp_path: Path) -> Reading:
    """Lets the program in Go read all of the log, holding the checkpoint `old` and these keys."""

    def read(old: str, *vkeys: str) -> "subprocess.CompletedProcess[str]":
        kept = tmp_path / "old-checkpoint"
        kept.write_text(old, encoding="utf-8")
        command = [str(client), log.url, ADMIN, str(kept), *vkeys]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    return read


TYPESCRIPT = REPOSITORY / "sdk" / "typescript"


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    """A whole Provost, with what the conformance script asks for."""
    started = Embedded(tmp_path_factory.mktemp("provost") / "home", **given.SETTINGS)
    started.start()
    yield started
    started.stop()
    started.kill()
    started.until(lambda: not started.processes(), "all processes are gone")


@pytest.fixture(scope="session")
def bun() -> Path:
    """The packages of sdk/typescript as its lock names them, and Bun, which is one of them."""
    modules, lock = TYPESCRIPT / "node_modules", TYPESCRIPT / "package-lock.json"
    installed = modules / ".installed-lock.json"
    if not installed.exists() or installed.read_bytes() != lock.read_bytes():
        subprocess.run(
            ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"],
            cwd=TYPESCRIPT,
            check=True,
            timeout=240,
        )
        shutil.copy(lock, installed)
    return next((modules / "@oven").glob("*/bin/bun"))


@pytest.fixture(scope="session")
def programs(bun: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, list[str]]]:
    """How to run each program of sdk/typescript, by runtime: bundled for Node, as it is on Bun."""
    place = tmp_path_factory.mktemp("bundled")
    sources = {
        "conformance": TYPESCRIPT / "conformance" / "main.ts",
        "agent": TYPESCRIPT / "examples" / "agent.ts",
        "watch": TYPESCRIPT / "examples" / "watch.ts",
    }
    made: dict[str, dict[str, list[str]]] = {"node": {}, "bun": {}}
    for name, source in sources.items():
        bundle = place / f"{name}.mjs"
        build = [
            str(each) for each in (bun, "build", "--target=node", "--format=esm", source, "--outfile", bundle)
        ]
        subprocess.run(build, check=True, timeout=60, stdout=subprocess.DEVNULL)
        made["node"][name] = ["node", str(bundle)]
        made["bun"][name] = [str(bun), str(source)]
    return made


@pytest.fixture(scope="session")
def go_conformance(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled client's conformance program, from Debian's packages alone."""
    place = tmp_path_factory.mktemp("go-client")
    build = [str(REPOSITORY / "sdk" / "go" / "build.sh"), sys.executable, str(place)]
    subprocess.run(build, check=True, timeout=300, env={"PATH": os.environ["PATH"], "HOME": str(place)})
    return place / "provost-conformance"
