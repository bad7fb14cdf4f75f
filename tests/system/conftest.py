"""A real ledger behind a real gateway, and a program in Go that reads the log over HTTP."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fakes.doors import ADMIN
from tests.integration.log.conftest import Log, events, log, nats_server, valkey_server

__all__ = ["events", "log", "nats_server", "valkey_server"]

SOURCE = Path(__file__).with_name("tlog_client") / "main.go"

Reading = Callable[..., "subprocess.CompletedProcess[str]"]


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
